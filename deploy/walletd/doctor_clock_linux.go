package walletd

import "syscall"

// clock asks the kernel whether something keeps this machine's clock.
func (d *doctor) clock() {
	const unsynchronised = 5 // TIME_ERROR (adjtimex(2))
	var t syscall.Timex
	switch state, err := syscall.Adjtimex(&t); {
	case err != nil:
		d.warn("clock", "", "its state cannot be told: %v", err)
	case state == unsynchronised:
		d.warn("clock", "run chrony or systemd-timesyncd: shards tell the time of events and expiries by their machines' clocks", "nothing keeps it")
	default:
		d.ok("clock", "it is kept")
	}
}
