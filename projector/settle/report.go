package settle

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"walletd/journal"
)

// Columns are those of a report, in order: of a line, of its movement, or of both.
var Columns = []string{"class", "line", "column", "key", "asset", "direction", "amount_in_file", "amount_in_wallet", "date_in_file", "time_in_wallet",
	"transfer", "position", "from", "to", "note"}

// Item is one line of a report; amounts are minor units, 0 and "" where that side has none.
type Item struct {
	Class          string         `json:"class"`
	Line           int            `json:"line,omitempty"`
	Column         int            `json:"column,omitempty"` // of a malformed line
	Key            string         `json:"key,omitempty"`
	Asset          string         `json:"asset,omitempty"`
	Direction      string         `json:"direction,omitempty"`
	AmountInFile   journal.Amount `json:"amount_in_file,omitempty"`
	AmountInWallet journal.Amount `json:"amount_in_wallet,omitempty"`
	DateInFile     string         `json:"date_in_file,omitempty"`
	TimeInWallet   string         `json:"time_in_wallet,omitempty"`
	Transfer       string         `json:"transfer,omitempty"`
	Position       string         `json:"position,omitempty"`
	From           string         `json:"from,omitempty"`
	To             string         `json:"to,omitempty"`
	Note           string         `json:"note,omitempty"`
	asset          journal.Asset  // of the line, or of a movement alone
	walletAsset    journal.Asset
}

// Each calls fn for every line in the order of the file, then for every movement without one in the order of time; with differing, only for
// those that are not matched.
func (r *Result) Each(assets journal.Assets, differing bool, fn func(*Item) error) error {
	for i := range r.Lines {
		v := r.ofLine[i]
		if differing && v.Class == Matched {
			continue
		}
		x := r.item(assets, &r.Lines[i], v)
		if err := fn(&x); err != nil {
			return err
		}
	}
	for i := range r.Movements {
		v := r.ofMove[i]
		if v.Partner >= 0 || v.Class == Unmatched {
			continue
		}
		x := Item{Class: v.Class.String()}
		r.ofMovement(&x, assets, &r.Movements[i])
		if r.Movements[i].Key == "" {
			x.Note = "it has no reference"
		}
		if err := fn(&x); err != nil {
			return err
		}
	}
	return nil
}

func (r *Result) item(assets journal.Assets, l *Line, v Verdict) Item {
	x := Item{Class: v.Class.String(), Line: l.Number, Key: l.Key, Column: l.Column}
	if v.Class == Malformed {
		x.Note = l.Wrong
		return x
	}
	x.Asset, x.asset, x.Direction, x.AmountInFile, x.DateInFile = assets.Code(l.Asset), l.Asset, DirectionText(l.Direction), l.Amount, DayText(l.Day)
	if v.Partner < 0 {
		return x
	}
	m := &r.Movements[v.Partner]
	switch {
	case m.Asset != l.Asset:
		x.Note = "the wallet's asset is " + assets.Code(m.Asset)
	case m.Direction != l.Direction:
		x.Note = "the wallet's direction is " + DirectionText(m.Direction)
	}
	asset, code, direction := x.asset, x.Asset, x.Direction
	r.ofMovement(&x, assets, m)
	x.asset, x.Asset, x.Direction = asset, code, direction
	return x
}

func (r *Result) ofMovement(x *Item, assets journal.Assets, m *Movement) {
	x.Key, x.Asset, x.asset, x.Direction, x.AmountInWallet = m.Key, assets.Code(m.Asset), m.Asset, DirectionText(m.Direction), m.Amount
	x.walletAsset = m.Asset
	x.TimeInWallet = time.UnixMilli(m.TimeMS).UTC().Format("2006-01-02T15:04:05.000Z")
	x.Transfer, x.Position, x.From, x.To = m.IDText(), m.Position.String(), r.Names.Of(m.Payer), r.Names.Of(m.Payee)
}

// WriteCSV writes every line and every movement with its class.
func (r *Result) WriteCSV(to io.Writer, assets journal.Assets) error {
	w := csv.NewWriter(to)
	if err := w.Write(Columns); err != nil {
		return err
	}
	number := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	err := r.Each(assets, false, func(x *Item) error {
		return w.Write([]string{x.Class, number(int64(x.Line)), number(int64(x.Column)), x.Key, x.Asset, x.Direction, number(int64(x.AmountInFile)),
			number(int64(x.AmountInWallet)), x.DateInFile, x.TimeInWallet, x.Transfer, x.Position, x.From, x.To, x.Note})
	})
	w.Flush()
	if err == nil {
		err = w.Error()
	}
	return err
}

// Report is what WriteJSON writes.
type Report struct {
	OK bool `json:"ok"`
	Counts
	Assets      []AssetSums `json:"assets"`
	Differences []Item      `json:"differences"` // malformed lines included
	More        int         `json:"more"`        // differences that are not listed
}

// Report answers the sums and at most first differences; first < 0: all.
func (r *Result) Report(assets journal.Assets, first int) Report {
	rep := Report{OK: r.Counts.Differences()+r.Counts.Malformed == 0, Counts: r.Counts, Assets: r.Sums, Differences: []Item{}}
	_ = r.Each(assets, true, func(x *Item) error { // fn never fails
		if first < 0 || len(rep.Differences) < first {
			rep.Differences = append(rep.Differences, *x)
		} else {
			rep.More++
		}
		return nil
	})
	return rep
}

// WriteJSON writes a Report as one object.
func (r *Result) WriteJSON(to io.Writer, assets journal.Assets, first int) error {
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false)
	return e.Encode(r.Report(assets, first))
}

// WriteText writes the counts, the sums and the first differences for people; money writes an amount.
func (r *Result) WriteText(to io.Writer, assets journal.Assets, first int, money func(journal.Amount, journal.Asset) string) error {
	rep := r.Report(assets, first)
	n := &r.Counts
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, row := range []struct {
		name  string
		count int
	}{{"lines in the file", n.Lines}, {"transfers in the wallet", n.Transfers}, {"matched", n.Matched}, {Differs.String(), n.Differs},
		{MissingInFile.String(), n.MissingInFile}, {MissingInWallet.String(), n.MissingInWallet}, {DuplicateInFile.String(), n.DuplicateInFile},
		{DuplicateInWallet.String(), n.DuplicateInWallet}, {Malformed.String(), n.Malformed}} {
		fmt.Fprintf(w, "%d\t %s\n", row.count, row.name)
	}
	_ = w.Flush() // what is wrong with to, the next line says
	for _, s := range rep.Assets {
		fmt.Fprintf(to, "%s (minor units): file %v, wallet %v, matched %v\n", s.Asset, s.File, s.Wallet, s.Matched)
	}
	if len(rep.Differences) == 0 {
		_, err := fmt.Fprintln(to, "ok")
		return err
	}
	return rep.table(to, money)
}

// table lists the differences.
func (rep *Report) table(to io.Writer, money func(journal.Amount, journal.Asset) string) error {
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nCLASS\tLINE\tKEY\tFILE\tWALLET\tDATE\tTRANSFER\tNOTE")
	for i := range rep.Differences {
		x := &rep.Differences[i]
		date, file, wallet, line := x.DateInFile, "", "", ""
		if x.Line > 0 {
			line = strconv.Itoa(x.Line)
		}
		if x.AmountInFile > 0 {
			file = money(x.AmountInFile, x.asset)
		}
		if x.AmountInWallet > 0 {
			wallet = money(x.AmountInWallet, x.walletAsset)
		}
		if date == "" && x.TimeInWallet != "" {
			date = x.TimeInWallet[:len(time.DateOnly)]
		}
		note := x.Note
		if x.Column > 0 {
			note = fmt.Sprintf("column %d: %s", x.Column, note)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.Class, line, x.Key, file, wallet, date, x.Transfer, note)
	}
	if rep.More > 0 {
		fmt.Fprintf(w, "and %d more (--first, or -o csv for all)\n", rep.More)
	}
	return w.Flush()
}
