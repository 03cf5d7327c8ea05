package service

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	backupBegins = "termed-"
	backupEnds   = ".db"
	backupRetry  = 10 * time.Minute // after a failure
)

// backUp makes a backup whenever the last one is old enough, until ctx is done.
func (s *Service) backUp(ctx context.Context) {
	if s.config.Backup.To == "" {
		return
	}
	for {
		wait := backupRetry
		last, err := s.store.LastBackup(ctx)
		if err == nil {
			wait = time.Until(time.UnixMilli(last).Add(s.config.Backup.Every))
		}
		if err == nil && wait <= 0 {
			wait = s.config.Backup.Every
			if err = s.backUpOnce(ctx, time.Now()); err != nil {
				wait = min(wait, backupRetry)
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("no backup was made", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// backUpOnce makes a backup and deletes the oldest ones. A file that is there under its name is whole.
func (s *Service) backUpOnce(ctx context.Context, now time.Time) error {
	folder := s.config.Backup.To
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := deletePartial(folder); err != nil {
		return err
	}
	name := backupBegins + now.UTC().Format("20060102T150405.000Z") + backupEnds
	path := filepath.Join(folder, name)
	if err := s.store.Backup(ctx, path+".partial", now.UnixMilli()); err != nil {
		return err
	}
	if err := os.Rename(path+".partial", path); err != nil {
		return err
	}
	s.log.Info("backup made", "file", path, "took", time.Since(now).Round(time.Millisecond).String())
	return deleteOldest(folder, s.config.Backup.Keep)
}

// deletePartial deletes what a service that was killed had begun.
func deletePartial(folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, backupBegins+"*"+backupEnds+".partial"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}

// deleteOldest keeps the latest n backups of a folder. Their names are in the order of time.
func deleteOldest(folder string, n int) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, backupBegins) && strings.HasSuffix(name, backupEnds) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names[:max(0, len(names)-n)] {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	return nil
}
