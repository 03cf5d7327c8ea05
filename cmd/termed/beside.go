package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/config"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

// besidePerMinute is what the default of ordergroove.requests_per_minute leaves of Ordergroove's 6,000: so many calls a
// minute can a command make while a service makes all of its own.
const besidePerMinute = 600

// beside is what a command works with while a service runs on the same database, or does not.
type beside struct {
	config config.Config
	store  *store.Store
	client *ordergroove.Client
	app    *cancelapp.App
	terms  counter.Terms
}

// besideOptions say how. The zero value changes what is to be changed.
type besideOptions struct {
	path      string // of the configuration
	logLevel  string
	perMinute int
	lookOnly  bool // nothing is written anywhere: a database that is not there yet is not made
}

// withApp opens the configured database and joins it with Ordergroove.
func withApp(ctx context.Context, env environment, o besideOptions, do func(beside) error) error {
	c, err := loadConfig(o.path, env)
	if err != nil {
		return err
	}
	log, err := newLog(env.stderr, o.logLevel)
	if err != nil {
		return err
	}
	rules, _, err := rulesOf(c)
	if err != nil {
		return err
	}
	client, err := ordergroove.NewClient(ordergroove.Options{
		URL: c.Ordergroove.APIURL, Key: c.Ordergroove.APIKey.Reveal(), RequestsPerMinute: o.perMinute,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	database, clear, err := databaseFor(c, o.lookOnly)
	if err != nil {
		return err
	}
	defer clear()
	db, err := store.Open(ctx, store.Options{Database: database, Migrate: migration(c)})
	if err != nil {
		return err
	}
	defer db.Close()
	return do(beside{c, db, client, cancelapp.New(db, client, cancelapp.Options{Rules: rules, Idle: idleFor(database), Log: log}), rules.Terms})
}

// databaseFor returns the configured database; in its place, where that is a file that is not there and must not be made, an
// empty one that clear takes away.
func databaseFor(c config.Config, lookOnly bool) (database string, clear func(), err error) {
	clear = func() {}
	path := strings.TrimPrefix(c.Database, "sqlite://")
	if _, err := os.Stat(path); !lookOnly || strings.Contains(path, "://") || !errors.Is(err, fs.ErrNotExist) {
		return c.Database, clear, nil
	}
	dir, err := os.MkdirTemp("", "termed-")
	if err != nil {
		return "", clear, err
	}
	return filepath.Join(dir, "empty.db"), func() { os.RemoveAll(dir) }, nil
}
