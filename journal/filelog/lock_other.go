//go:build !unix

package filelog

import (
	"errors"
	"fmt"
	"io"
)

// Lock cannot keep a second process out here, so it lets nobody in.
func (osFS) Lock(name string) (io.Closer, error) {
	return nil, fmt.Errorf("lock %s: %w", name, errors.ErrUnsupported)
}
