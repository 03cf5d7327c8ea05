.DEFAULT_GOAL := help
export TERMED_TEST_POSTGRES ?=

help: ## list what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## see all of it in a few seconds
	go run ./cmd/termed demo

build: ## build ./termed
	CGO_ENABLED=0 go build -trimpath -o termed ./cmd/termed

test: ## the tests, with nothing else set up
	go test ./...

race: ## the tests with the race detector, in random order
	go test -race -shuffle=on ./...

stories: ## play the stories of testdata/script, and say how
	go test ./cmd/termed -run TestScript -v

load: ## play 250 subscriptions against the real process, and print the figures
	go test ./cmd/termed -run TestLoad250 -v

bench: ## what a durable delivery costs
	go test ./webhook -run '^$$' -bench Delivery -benchtime 3s

soak: ## ten minutes of everything at once (TERMED_SOAK=1h TERMED_SEED=7 make soak)
	TERMED_SOAK=$${TERMED_SOAK:-10m} go test ./cmd/termed -run TestSoak -v -count=1 -timeout 0

faults: ## run the fault matrix, take out each safeguard in turn, and write docs/faults.md
	go run ./docs/faults

fuzz: ## half a minute of each fuzz target
	go test ./ordergroove -run '^$$' -fuzz FuzzVerify -fuzztime 30s
	go test ./ordergroove -run '^$$' -fuzz FuzzEnvelope -fuzztime 30s
	go test ./ordergroove -run '^$$' -fuzz FuzzExtraData -fuzztime 30s
	go test ./webhook -run '^$$' -fuzz FuzzDoor -fuzztime 30s

lint: ## vet, gofmt, staticcheck
	go vet ./... ./testdata
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go tool -modfile=tools.mod staticcheck ./... ./testdata

readme: ## run what README shows
	go test ./cmd/termed -run 'TestReadme|TestLinks' -v

ci: ## everything that has to pass
	bash .ci/run

.PHONY: help demo build test race stories load bench soak faults fuzz lint readme ci
