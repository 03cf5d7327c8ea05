package store

import "context"

// Restrict runs a statement on the write connection of a SQLite store: tests make it read-only or full.
func (s *Store) Restrict(ctx context.Context, statement string) error {
	_, err := s.writer.db.ExecContext(ctx, statement)
	return err
}
