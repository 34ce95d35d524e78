//go:build !linux

package filelog

// Datasync flushes everything: only Linux promises that fdatasync keeps a changed length.
func (f osFile) Datasync() error { return f.Sync() }
