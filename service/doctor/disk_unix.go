//go:build unix

package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeSpace returns the bytes that are free for the service on the disk of a folder, and all of them.
func freeSpace(folder string) (free, total uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", folder, err)
	}
	size := uint64(s.Bsize) //nolint:gosec // a block has a size, whose type differs between systems
	return s.Bavail * size, s.Blocks * size, nil
}
