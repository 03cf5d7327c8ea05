package store

import "context"

// Restrict runs a statement on the write connection of a SQLite store: tests make it read-only or full.
func (s *Store) Restrict(ctx context.Context, statement string) error {
	_, err := s.writer.db.ExecContext(ctx, statement)
	return err
}

// CopiedColumns are the columns that Copy takes, by table.
func CopiedColumns() map[string][]string {
	columns := map[string][]string{}
	for _, t := range tables {
		columns[t.name] = t.columns
	}
	return columns
}
