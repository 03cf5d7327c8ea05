package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ordergroove/sim"
)

// browser is headless Chromium.
type browser struct {
	*testing.T
	ctx  context.Context
	url  string
	dir  string // where screenshots go; "": nobody wants them
	axe  string
	name string // of the size and theme
}

// openBrowser starts Chromium, or skips the test where there is none. It ends with the test.
func openBrowser(t *testing.T, url string) *browser {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("browser: there is no chromium")
	}
	axe, err := os.ReadFile("../testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	dir := os.Getenv("TERMED_SCREENSHOTS")
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program),
		chromedp.UserDataDir(t.TempDir()))
	for _, flag := range []string{
		"no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "hide-scrollbars",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	allocated, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(end)
	ctx, endTab := chromedp.NewContext(allocated)
	t.Cleanup(endTab)
	ctx, cancel := context.WithTimeout(ctx, 6*time.Minute)
	t.Cleanup(cancel)
	return &browser{
		T:   t,
		ctx: ctx,
		url: url,
		dir: dir,
		axe: string(axe),
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// command is a command of the browser's protocol.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// value is what an action reads.
func value[T any](b *browser, action chromedp.Action[T]) T {
	b.Helper()
	got, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.Fatal(err)
	}
	return got
}

// size makes the window narrow or wide, and the theme light or dark.
func (b *browser) size(width int64, theme string) {
	b.Helper()
	b.name = fmt.Sprintf("%d-%s", width, theme)
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}
	b.do(chromedp.EmulateViewport(width, 900), command(emulation.SetEmulatedMedia,
		emulation.SetEmulatedMediaParams{Features: features}))
}

// open shows a page.
func (b *browser) open(path string) {
	b.Helper()
	b.do(chromedp.Navigate(b.url+path), chromedp.WaitReady("footer"))
}

// runAxe answers the serious faults that axe finds, as JSON.
const runAxe = `axe.run().then(r => JSON.stringify(
	r.passes.length < 5 ? ["axe checked nothing"] : r.violations
		.filter(v => ["serious", "critical"].includes(v.impact))
		.map(v => v.id + ": " + v.nodes.slice(0, 3).map(n => n.html + " " + n.failureSummary).join(" | "))))`

// filterByState chooses a state in the list, as a person does.
const filterByState = `(() => {
	const select = document.querySelector("select[name=state]");
	select.value = "ended";
	select.dispatchEvent(new Event("change", {bubbles: true}));
})()`

// everySize checks a page narrow and wide, light and dark: that everybody can use it once in each width and theme.
func (b *browser) everySize(name string) {
	b.Helper()
	b.size(1280, "dark")
	b.fits(name)
	b.size(360, "dark")
	b.check(name)
	b.size(360, "light")
	b.fits(name)
	b.size(1280, "light")
	b.check(name)
}

// fits checks that the page fits into the window, and saves a screenshot where somebody wants it.
func (b *browser) fits(name string) {
	b.Helper()
	b.picture(name)
	if value(b, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > window.innerWidth`)) {
		b.Errorf("%s is wider than the window of %s", name, b.name)
	}
}

// check checks that the page fits and that everybody can use it.
func (b *browser) check(name string) {
	b.Helper()
	b.fits(name)
	if !value(b, chromedp.Evaluate[bool](`"axe" in window`)) {
		b.do(chromedp.Evaluate[chromedp.Void](b.axe))
	}
	violations := value(b, chromedp.Evaluate[string](runAxe,
		chromedp.EvalAwaitPromise))
	var found []string
	if err := json.Unmarshal([]byte(violations), &found); err != nil {
		b.Fatal(err)
	}
	for _, violation := range found {
		b.Errorf("%s, %s: %s", name, b.name, violation)
	}
}

// picture saves a screenshot. To draw and pack a whole page takes longer than all else.
func (b *browser) picture(name string) {
	b.Helper()
	if b.dir == "" {
		return
	}
	picture := value(b, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(b.dir, name+"-"+b.name+".png"), picture, 0o600); err != nil {
		b.Fatal(err)
	}
}

// click clicks what has a text, and waits for the next page to show another.
func (b *browser) click(selector, then string) {
	b.Helper()
	b.do(chromedp.Click(selector), chromedp.WaitVisible(fmt.Sprintf(`//*[contains(text(), %q)]`, then)))
}

// TestConsoleInABrowser walks through each page and action in headless Chromium, narrow and wide, light and dark.
// TERMED_SCREENSHOTS=dir keeps the screenshots.
func TestConsoleInABrowser(t *testing.T) {
	t.Parallel()
	s := openShop(t, func(c *config.Config) { c.Console.Tokens = c.Console.Tokens[2:] })
	b := openBrowser(t, s.url)
	gift, program := s.playBrowserStory()

	b.size(1280, "light")
	b.do(chromedp.Navigate(b.url + "/"))
	b.check("sign-in")
	b.do(chromedp.SendKeys("input[name=name]", "operator"), chromedp.SendKeys("input[name=password]", password),
		chromedp.Click("main button"), chromedp.WaitVisible(`//h1[text()="Overview"]`))

	paths := map[string]string{
		"overview":      "/",
		"subscriptions": "/subscriptions",
		"subscription":  "/subscriptions/" + program.ID,
		"customer":      "/customers/customer-7",
		"events":        "/events",
		"retry-events":  "/events/retry?type=order.success",
		"terms":         "/terms",
		"reconcile":     "/reconcile",
		"health":        "/health",
		"doctor":        "/health/doctor",
		"observe":       "/observe",
		"nothing-found": "/subscriptions?q=nobody",
		"not-found":     "/subscriptions/none-such",
	}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		b.open(paths[name])
		if name == "subscription" {
			b.do(chromedp.WaitReady("#remote a[hx-get]")) // what Ordergroove says is there
		}
		b.everySize(name)
	}

	// The actions, as a person clicks them.
	b.size(1280, "light")
	b.open("/subscriptions/" + program.ID)
	b.do(chromedp.Click(`//summary[text()="Skip next order"]`))
	b.check("skip")
	b.click(`//form[contains(@action, "/skip")]//button`, "Skipped the next order")
	b.check("skipped")
	b.do(chromedp.Click(`//summary[text()="Give a discount"]`),
		chromedp.SendKeys(`input[name=percentage]`, "15"),
		chromedp.SendKeys(`input[name=title]`, "With our apologies"))
	b.check("discount")
	b.click(`//input[@name="percentage"]/ancestor::form//button`, "Saved")
	s.settle()
	b.open("/subscriptions/" + program.ID)
	b.do(chromedp.WaitReady("#remote a[hx-get]"), chromedp.WaitVisible(`//*[contains(text(), "applied: 15 % off")]`))
	b.everySize("adjusted")
	b.open("/subscriptions/" + gift.ID)
	b.do(chromedp.Click(`//summary[text()="Cancel subscription"]`),
		chromedp.SetValue(`//form[contains(@action, "/cancel")]//select`, "8"),
		chromedp.SendKeys(`//form[contains(@action, "/cancel")]//input[@name="details"]`, "moved away"))
	b.check("cancel")
	b.click(`//form[contains(@action, "/cancel")]//button`, "Canceled")
	b.check("canceled")
	s.settle()
	if now, _ := s.sim.Subscription(gift.ID); now.Live || now.CancelReason != "8|moved away" {
		t.Errorf("live %v, reason %q", now.Live, now.CancelReason)
	}
	b.open("/subscriptions/" + program.ID)
	b.do(chromedp.Click(`//summary[text()="Change length"]`),
		chromedp.SetValue(`input[name=shipments]`, "7"),
		chromedp.SendKeys(`//form[contains(@action, "/length")]//input[@name="reason"]`, "a replacement"))
	b.click(`//form[contains(@action, "/length")]//button`, "Saved")
	b.open("/health")
	b.do(chromedp.Click(`//summary[text()="Pause all changes"]`),
		chromedp.SendKeys(`//form[@action="/pause"]//input`, "stocktaking"))
	b.click(`//form[@action="/pause"]//button`, "All changes at Ordergroove are paused")
	b.check("paused")
	b.click(`//form[@action="/resume"]//button`, "Changes are made at Ordergroove")
	b.open("/reconcile")
	b.click(`//form[@action="/reconcile"]//button`, "Started by operator")
	b.check("reconciled")

	// A list is filtered without a click where there is JavaScript, and with one where there is none.
	b.open("/subscriptions")
	b.do(chromedp.Evaluate[chromedp.Void](filterByState),
		chromedp.WaitNotPresent(fmt.Sprintf(`//a[@href="/subscriptions/%s"]`, program.ID)))
	b.do(command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	b.do(chromedp.Navigate(b.url+"/subscriptions?state=ended"), chromedp.WaitReady("footer"))
	b.do(chromedp.WaitVisible(fmt.Sprintf(`//a[@href="/subscriptions/%s"]`, gift.ID)))
}

// playBrowserStory makes a shop with something of everything.
func (s *shop) playBrowserStory() (gift, program sim.Subscription) {
	s.Helper()
	for i := range 9 {
		sub := s.subscribe([]string{"GIFT-3MO", "SIX", "SIX"}[i%3], fmt.Sprint("customer-", i))
		for range i {
			if now, _ := s.sim.Subscription(sub.ID); now.Live {
				s.place(sub)
			}
		}
		switch i {
		case 0:
			gift = sub
		case 4:
			program = sub
		}
	}
	other := s.subscribe("SIX", "customer-7")
	s.place(other)
	broken := s.subscribe("SIX", "customer-8")
	if err := s.sim.Edit(broken.ID, json.RawMessage(`{"fulfillment_counter":"three"}`)); err != nil {
		s.Fatal(err)
	}
	s.place(broken)
	return gift, program
}
