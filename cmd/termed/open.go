package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/reconcile"
	"github.com/termed/termed/config"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/service"
	"github.com/termed/termed/store"
)

// sessionRequestsPerMinute is what a running service leaves of Ordergroove's 6,000 API calls a minute by default: a
// command may use them while the service uses all of its own.
const sessionRequestsPerMinute = 600

// session is what a command works with, whether or not a service runs on the same database.
type session struct {
	config config.Config
	store  *store.Store
	client *ordergroove.Client
	app    *cancelapp.App
	terms  counter.Terms
	listed map[string]int64 // since when each SKU is listed, as far as a service or a reconciliation put it in force

	reconciler *reconcile.Reconciler
}

// sessionOptions say how a session is opened.
type sessionOptions struct {
	configPath        string
	logLevel          string
	requestsPerMinute int
	missing           missingDatabase
}

// missingDatabase is what a session does if the database does not exist.
type missingDatabase int

const (
	refuseMissing  missingDatabase = iota // an error that says so
	createMissing                         // create it
	replaceMissing                        // an empty one in a temporary folder instead
)

// flags adds the flags that every command with a session has, except for the one of the configuration.
func (o *sessionOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&o.requestsPerMinute, "requests-per-minute", sessionRequestsPerMinute,
		"API calls per minute; the default is what a running service leaves")
	f.StringVar(&o.logLevel, "log-level", "error", "debug, info, warn or error")
}

// withSession opens the configured database and an API client, and runs do with them.
func withSession(ctx context.Context, env environment, o sessionOptions, do func(session) error) error {
	c, err := loadConfig(o.configPath, env)
	if err != nil {
		return err
	}
	log, err := newLog(env, o.logLevel)
	if err != nil {
		return err
	}
	rules, _, err := service.Rules(c)
	if err != nil {
		return err
	}
	clientOptions := service.ClientOptions(c)
	clientOptions.RequestsPerMinute = o.requestsPerMinute
	client, err := ordergroove.NewClient(clientOptions)
	if err != nil {
		return err
	}
	defer client.Close()
	db, remove, err := openSession(ctx, c, o, client.Share, env.stderr)
	if err != nil {
		return err
	}
	defer remove()
	defer db.Close()
	listed, err := listedSKUs(ctx, db, rules.Terms, o)
	if err != nil {
		return err
	}
	rules.Listed = listed
	app := cancelapp.New(db, client, cancelapp.Options{Rules: rules, Log: log})
	if _, err := app.ReadBrake(ctx); err != nil {
		return err
	}
	return do(session{
		listed:     listed,
		config:     c,
		store:      db,
		client:     client,
		app:        app,
		terms:      rules.Terms,
		reconciler: reconcile.New(app, db, reconcile.Options{Log: log}),
	})
}

// listedSKUs says since when the SKUs are listed. What may create a database puts the configuration in force.
func listedSKUs(
	ctx context.Context, db *store.Store, terms counter.Terms, o sessionOptions,
) (map[string]int64, error) {
	if o.missing == createMissing {
		return db.ListSKUs(ctx, terms.SKUs(), time.Now().UnixMilli())
	}
	return db.ListedSKUs(ctx)
}

// openSession opens the database of a session. remove deletes what stood in for one that does not exist.
func openSession(
	ctx context.Context, c config.Config, o sessionOptions, share func(int, time.Time), stderr io.Writer,
) (db *store.Store, remove func(), err error) {
	remove = func() {}
	options := service.StoreOptions(c)
	options.Share = share
	if o.missing != createMissing && options.Migrate == store.Auto {
		options.Migrate = store.Upgrade
	}
	db, err = store.Open(ctx, options)
	if !isMissing(err) || o.missing != replaceMissing {
		return db, remove, databaseError(o.configPath, c, err)
	}
	fmt.Fprintf(stderr, "the database %s is missing or empty; no subscription counts as known\n", store.Name(c.Database))
	dir, err := os.MkdirTemp("", "termed-")
	if err != nil {
		return nil, remove, err
	}
	remove = func() { os.RemoveAll(dir) }
	db, err = store.Open(ctx, store.Options{Database: filepath.Join(dir, "empty.db")})
	if err != nil {
		remove()
	}
	return db, remove, err
}

// withStore opens the configured database alone, and runs do with it. It needs none of the secrets.
func withStore(
	ctx context.Context, path string, env environment, how store.Migrate, do func(*store.Store) error,
) error {
	return withStoreAndConfig(ctx, path, env, how, func(s *store.Store, _ config.Config) error { return do(s) })
}

// withStoreAndConfig is withStore for what asks the configuration, too, without the secrets.
func withStoreAndConfig(
	ctx context.Context, path string, env environment, how store.Migrate, do func(*store.Store, config.Config) error,
) error {
	c, err := config.LoadWithoutSecrets(path, env.lookup)
	if err != nil {
		return exit{exitUsage, err.Error()}
	}
	s, err := store.Open(ctx, store.Options{Database: c.Database, Migrate: how})
	if err != nil {
		return databaseError(path, c, err)
	}
	defer s.Close()
	return do(s, c)
}

func isMissing(err error) bool {
	return errors.Is(err, store.ErrNoDatabase) || errors.Is(err, store.ErrNoSchema)
}

// databaseError says where a database that does not exist was looked for, and what to do.
func databaseError(path string, c config.Config, err error) error {
	if !isMissing(err) {
		return err
	}
	where := path
	what := "does not exist"
	create := "start termed serve once"
	if c.DatabaseLine > 0 {
		where = fmt.Sprintf("%s:%d", path, c.DatabaseLine)
	}
	if errors.Is(err, store.ErrNoSchema) {
		what = "exists, but termed has never written to it"
	}
	if c.Migrate == "manual" {
		create = "run `termed migrate up`"
	}
	return exit{exitError, fmt.Sprintf("%s: database: %s %s; %s, or check the path",
		where, store.Name(c.Database), what, create)}
}

// loadConfig reads the configuration. Its mistakes are reported together, with exit code 2.
func loadConfig(path string, env environment) (config.Config, error) {
	c, err := config.Load(path, env.lookup)
	if err != nil {
		return c, exit{exitUsage, err.Error()}
	}
	return c, nil
}

func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", "termed.yaml", "the configuration file")
}

// groupConfigFlag gives a group of commands one flag for the configuration.
func groupConfigFlag(cmd *cobra.Command, path *string) {
	cmd.PersistentFlags().StringVarP(path, "config", "c", "termed.yaml", "the configuration file")
}
