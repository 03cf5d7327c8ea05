//go:build !unix

package doctor

import "errors"

// freeSpace is not known here.
func freeSpace(string) (free, total uint64, err error) {
	return 0, 0, errors.New("the free disk space is not known on this system")
}
