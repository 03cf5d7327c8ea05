.DEFAULT_GOAL := help
export TERMED_TEST_POSTGRES ?=

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## see everything in a few seconds
	go run ./cmd/termed demo

build: ## build ./termed
	CGO_ENABLED=0 go build -trimpath -o termed ./cmd/termed

dist: ## build for Linux, macOS and Windows into ./dist, with checksums
	rm -rf dist && mkdir dist
	for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64; do \
		os=$${target%/*} arch=$${target#*/}; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build -trimpath -ldflags='-s -w' \
			-o dist/termed_$${os}_$$arch$$([ $$os != windows ] || echo .exe) ./cmd/termed || exit 1; \
	done
	cd dist && sha256sum termed_* > SHA256SUMS

test: ## run all tests; needs nothing but Go, takes about two minutes
	go test ./...

race: ## run all tests with the race detector, in random order
	go test -race -shuffle=on ./...

stories: ## run the stories of testdata/script, and print them
	go test ./cmd/termed -run TestScript -v

load: ## run 250 subscriptions against the real process, and print the API calls per shipment
	go test ./cmd/termed -run TestLoad250 -v

bench: ## measure the parts: verify, parse, decide, merge, store (PostgreSQL: TERMED_TEST_POSTGRES), receive without sockets
	go test ./ordergroove ./counter ./store ./webhook -run '^$$' -bench 'Verify|Parse|ExtraData|Decide|Append|Settle|Delivery'

bench-process: ## measure the built binary over HTTP, and write docs/performance.md (half an hour; TERMED_TEST_POSTGRES)
	go run ./cmd/bench -write

soak: ## run everything at random for ten minutes (TERMED_SOAK=1h TERMED_SEED=7 make soak)
	TERMED_SOAK=$${TERMED_SOAK:-10m} go test ./cmd/termed -run TestSoak -v -count=1 -timeout 0

years: ## play shops for a year each, in fake time (SEEDS=1000 TERMED_SEED=7 make years)
	TERMED_YEARS_SEEDS=$${SEEDS:-20} go test ./cancelapp -run '^TestYears' -v -count=1 -timeout 0 | grep -v '^=== \|--- PASS'

faults: ## run all tests, remove each safeguard in turn, and write docs/faults.md
	go run ./cmd/faultmatrix

fuzz: ## run each fuzz target for half a minute
	go test ./ordergroove -run '^$$' -fuzz FuzzVerify -fuzztime 30s
	go test ./ordergroove -run '^$$' -fuzz FuzzEnvelope -fuzztime 30s
	go test ./ordergroove -run '^$$' -fuzz FuzzExtraData -fuzztime 30s
	go test ./webhook -run '^$$' -fuzz FuzzReceiver -fuzztime 30s

lint: ## run vet, gofmt and golangci-lint
	go vet ./... ./testdata
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go tool -modfile=tools.mod golangci-lint run ./... ./testdata

readme: ## check the documents: what they show is run, and their words
	go test ./cmd/termed -run 'TestReadme|TestLinks|TestSwitching|TestTermsPage|TestStorefront|TestOperations|TestLanguage' -v

ci: ## run everything that must pass
	bash .ci/run

.PHONY: help demo build dist test race stories load bench soak years faults fuzz lint readme ci
