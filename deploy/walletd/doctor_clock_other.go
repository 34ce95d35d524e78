//go:build !linux

package walletd

// clock: other systems do not tell a program whether their clock is kept.
func (d *doctor) clock() {}
