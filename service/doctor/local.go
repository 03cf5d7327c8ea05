package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/termed/termed/store"
	"github.com/termed/termed/webhook"
)

// Checks of this machine: the configuration, the database, the disk, the listeners.

func examineConfig(_ context.Context, in *Installation) Finding {
	skus := 0
	for _, t := range in.Config.Terms {
		skus += len(t.SKUs)
	}
	says := fmt.Sprintf("%s with %s, mode %s", count(len(in.Config.Terms), "term"), count(skus, "SKU"), in.Config.Mode)
	if in.Config.Mode == "observe" {
		return warning("mode: live, when termed plan shows what you expect", "%s: nothing is changed at Ordergroove", says)
	}
	return ok("%s", says)
}

// slowCommit is how long a commit may take before bursts of deliveries wait for it.
const slowCommit = 200 * time.Millisecond

func examineDatabase(ctx context.Context, in *Installation) Finding {
	if in.Store == nil {
		return failure("start termed serve once, or correct database in termed.yaml", "%s: %v",
			store.Name(in.Config.Database), in.StoreErr)
	}
	engine, err := in.Store.Engine(ctx)
	if err != nil {
		return failure("see what the database says", "%v", err)
	}
	took, err := in.Store.ProveCommit(ctx)
	switch {
	case err != nil:
		return failure("see what the database says; the service's user must be able to write to it", "%s: %v",
			engine, err)
	case !engine.Synced:
		return failure("turn on fsync and synchronous_commit: an answered webhook may be lost in a crash",
			"%s does not sync its commits to disk", engine)
	case took > slowCommit:
		return warning("use a faster disk: every delivery waits for a commit", "%s, and a commit takes %s", engine,
			took.Round(time.Millisecond))
	}
	return ok("%s, a commit takes %s", engine, took.Round(100*time.Microsecond))
}

const (
	leastFree        = 1 << 30 // bytes
	leastFreePercent = 5
)

func examineDisk(_ context.Context, in *Installation) Finding {
	if store.IsServer(in.Config.Database) {
		return skipped("the database is on a server of its own")
	}
	folder := filepath.Dir(store.Name(in.Config.Database))
	free, total, err := freeSpace(folder)
	if err != nil {
		return skipped("%v", err)
	}
	says := fmt.Sprintf("%.1f of %.1f GB in %s", float64(free)/(1<<30), float64(total)/(1<<30), folder)
	if free < leastFree || free*100 < total*leastFreePercent {
		return warning("make room: when the disk is full, no webhook can be stored", "only %s", says)
	}
	return ok("%s", says)
}

func examineListeners(ctx context.Context, in *Installation) Finding {
	running := 0
	for _, l := range []struct{ setting, address, path string }{
		{"listen", in.Config.Listen, webhook.HealthPath},
		{"console.listen", in.Config.Console.Listen, "/livez"},
	} {
		switch answer, err := get(ctx, "http://"+Nearby(l.address)+l.path); {
		case err == nil && answer == http.StatusOK:
			running++
		case err == nil && answer == http.StatusServiceUnavailable:
			return failure("see its log", "the service at %s (%s) cannot store webhooks", l.setting, l.address)
		case err == nil:
			return failure("choose another port, or stop what has it", "something else listens at %s (%s)", l.setting, l.address)
		case !refused(err):
			return failure("see its log, or stop what has the port", "what listens at %s (%s) does not answer: %v", l.setting,
				l.address, err)
		}
	}
	switch running {
	case 0:
		return warning("termed serve", "the service does not run on this machine; its ports are free")
	case 1:
		return failure("stop what has the other port", "one of the two ports is not termed's")
	}
	return ok("the service runs at %s, its console at %s", in.Config.Listen, in.Config.Console.Listen)
}

// refused says that nothing listens there.
func refused(err error) bool {
	operation, ok := errors.AsType[*net.OpError](err)
	return ok && operation.Op == "dial" && !operation.Timeout()
}

// Nearby is where a process on the same machine reaches what listens at an address.
func Nearby(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return address
}

// client has the time limit of a check.
var client = http.Client{Timeout: answerWithin}

func get(ctx context.Context, url string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	response.Body.Close()
	return response.StatusCode, nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
