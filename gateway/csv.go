package gateway

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"walletd/gateway/wire"
	"walletd/journal"
)

func wantsCSV(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/csv") }

// writeEntriesCSV writes a page of a statement as CSV (RFC 4180), the columns named like the JSON fields. The next
// page's cursor is in the header Wallet-Next-Cursor.
func writeEntriesCSV(w http.ResponseWriter, items []wire.EntryReply, next string) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	if next != "" {
		w.Header().Set("Wallet-Next-Cursor", next)
	}
	out := csv.NewWriter(w)
	_ = out.Write([]string{"account", "version", "kind", "transfer", "reservation", "direction", "amount", "available_change", "reserved_change",
		"available_after", "reserved_after", "counterparty", "reference", "created_at", "position"})
	for i := range items {
		_ = out.Write(entryRecord(&items[i]))
	}
	out.Flush() // a client that is gone is not our fault
}

func entryRecord(e *wire.EntryReply) []string {
	n := func(a journal.Amount) string { return strconv.FormatInt(int64(a), 10) }
	id := func(id journal.ID, prefix string) string {
		if id == (journal.ID{}) {
			return ""
		}
		return id.Text(prefix)
	}
	return []string{e.Account, strconv.FormatUint(e.Version, 10), e.Kind, id(e.Transfer, journal.TransferPrefix), id(e.Reservation, journal.ReservationPrefix),
		e.Direction, n(e.Amount), n(e.AvailableChange), n(e.ReservedChange), n(e.AvailableAfter), n(e.ReservedAfter), e.Counterparty, e.Reference,
		time.UnixMilli(e.CreatedMS).UTC().Format("2006-01-02T15:04:05.000Z"), e.Position.String()}
}
