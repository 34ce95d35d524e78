package settle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"walletd/journal"
	"walletd/projector/export"
	"walletd/projector/reconcile"
)

// What a line's key is compared with.
const (
	OnReference = "reference"
	OnKey       = "key"
	OnID        = "id"
)

// MaxDefault bounds lines and movements together.
const MaxDefault = 20_000_000

// Config says what to match with what.
type Config struct {
	File    io.Reader
	Mapping Mapping
	Log     journal.Log
	Assets  journal.Assets

	MatchOn string // one of the above; "": OnReference
	Account string // whose transfers alone; "": all of them, and directions say nothing
	Days    int    // how far the day of a line and that of its transfer may lie from each other
	// FromDay and ToDay are the period whose transfers must be in the file, both included; nil: that of the file's own days.
	FromDay, ToDay *int32
	Strict         bool // the first malformed row ends it, as *RowError
	Max            int  // of lines and movements together; 0: MaxDefault

	Progress func(stage string, done, total int64) // now and then; nil: nobody is told
}

func (c *Config) validate() error {
	errs := []error{c.Mapping.Validate()}
	if c.File == nil || c.Log == nil {
		errs = append(errs, errors.New("no file, or no log"))
	}
	if !slices.Contains([]string{"", OnReference, OnKey, OnID}, c.MatchOn) {
		errs = append(errs, fmt.Errorf("match on %q: want reference, key or id", c.MatchOn))
	}
	if c.Account == "" && c.Mapping.directed() {
		errs = append(errs, errors.New("a direction is an account's: name the account whose transfers the file tells of"))
	}
	if c.Days < 0 || c.Days > 3660 {
		errs = append(errs, fmt.Errorf("days %d: want 0 to 3660", c.Days))
	}
	if c.Max == 0 {
		c.Max = MaxDefault
	}
	if c.Max < 0 || c.Max > math.MaxInt32 {
		errs = append(errs, fmt.Errorf("max %d: want 1 to %d", c.Max, math.MaxInt32))
	}
	if c.Progress == nil {
		c.Progress = func(string, int64, int64) {}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}

// ErrNoAccount says that the journal has never heard of Config.Account.
var ErrNoAccount = errors.New("the wallet has no such account")

// ErrTooMany says that Config.Max is reached.
var ErrTooMany = errTooMany

// Result is what was matched with what.
type Result struct {
	Lines     []Line
	Movements []Movement // in order of time
	ofLine    []Verdict
	ofMove    []Verdict
	Names     reconcile.Names
	Counts    Counts
	Sums      []AssetSums
}

// OfLine is what became of a line, OfMovement of a movement.
func (r *Result) OfLine(i int) Verdict     { return r.ofLine[i] }
func (r *Result) OfMovement(i int) Verdict { return r.ofMove[i] }

// Counts are lines and movements by class; a pair counts once.
type Counts struct {
	Lines             int `json:"lines"`
	Transfers         int `json:"transfers"` // in the period, and those outside it that were matched
	Matched           int `json:"matched"`
	Differs           int `json:"amount_differs"`
	MissingInFile     int `json:"missing_in_file"`
	MissingInWallet   int `json:"missing_in_wallet"`
	DuplicateInFile   int `json:"duplicate_in_file"`
	DuplicateInWallet int `json:"duplicate_in_wallet"`
	Malformed         int `json:"malformed"`
}

// Differences counts what is neither matched nor malformed.
func (c *Counts) Differences() int {
	return c.Differs + c.MissingInFile + c.MissingInWallet + c.DuplicateInFile + c.DuplicateInWallet
}

// AssetSums are sums of one asset, minor units: what was matched, and all that either side says.
type AssetSums struct {
	Asset   string     `json:"asset"`
	File    export.Sum `json:"file"`
	Wallet  export.Sum `json:"wallet"`
	Matched export.Sum `json:"matched"`
}

// Run reads the file, then the journal, and matches them. A damaged journal is journal.ErrDamaged.
func Run(ctx context.Context, c Config) (*Result, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	lines, err := c.lines(ctx)
	if err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	w := wallet{config: &c, account: journal.HandleOf(c.Account), room: c.Max - len(lines)}
	if w.zone, err = time.LoadLocation(c.Mapping.Zone); err != nil {
		return nil, fmt.Errorf("settle: zone: %w", err)
	}
	w.from, w.to = c.period(lines)
	names, err := w.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	if c.Account != "" && !w.known {
		return nil, fmt.Errorf("settle: account %s: %w", c.Account, ErrNoAccount)
	}
	slices.SortStableFunc(w.movements, func(a, b Movement) int { return int(a.TimeMS - b.TimeMS) })
	c.Progress("match", 0, 1)
	return c.match(lines, w.movements, names), nil
}

func (c *Config) match(lines []Line, movements []Movement, names reconcile.Names) *Result {
	file := newSide(len(lines), func(i int32) bool { return lines[i].Wrong != "" }, func(i int32) *Record { return &lines[i].Record }, MissingInWallet, DuplicateInFile)
	side := newSide(len(movements), func(int32) bool { return false }, func(i int32) *Record { return &movements[i].Record }, MissingInFile, DuplicateInWallet)
	match(file, side, int32(c.Days))
	for i := range lines {
		if lines[i].Wrong != "" {
			file.verdicts[i].Class = Malformed
		}
	}
	for i := range movements {
		if movements[i].outsidePeriod && side.verdicts[i].Partner < 0 {
			side.verdicts[i].Class = Unmatched
		}
	}
	r := &Result{Lines: lines, Movements: movements, ofLine: file.verdicts, ofMove: side.verdicts, Names: names}
	r.count(c.Assets)
	return r
}

// lines reads the file.
func (c *Config) lines(ctx context.Context) ([]Line, error) {
	separator, err := c.Mapping.separator()
	if err != nil {
		return nil, err
	}
	rows, err := NewReader(c.File, separator)
	if err != nil {
		return nil, err
	}
	reader, err := c.Mapping.reader(c.Assets)
	if err != nil {
		return nil, err
	}
	if err := rows.Skip(c.Mapping.Skip); errors.Is(err, io.EOF) {
		return nil, errors.New("the file has no rows")
	} else if err != nil {
		return nil, err
	}
	var lines []Line
	for first := true; ; {
		fields, number, err := rows.Row()
		var bad *RowError
		switch {
		case errors.Is(err, io.EOF) && first:
			return nil, errors.New("the file has no rows")
		case errors.Is(err, io.EOF):
			return lines, nil
		case err != nil && (!errors.As(err, &bad) || first || c.Strict):
			return nil, err
		}
		if first {
			var header bool
			first = false
			if reader.at, header, err = c.Mapping.bind(fields); err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			} else if header {
				continue
			}
		}
		x := Line{}
		if bad != nil {
			x = Line{Number: bad.Line, Column: bad.Column, Wrong: bad.Text}
		} else {
			x = reader.line(fields, number)
		}
		if c.Strict && x.Wrong != "" {
			return nil, &RowError{x.Number, x.Column, x.Wrong}
		}
		if lines = append(lines, x); len(lines) > c.Max {
			return nil, ErrTooMany
		}
		if len(lines)%8192 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			c.Progress("file", int64(len(lines)), int64(len(lines))+1)
		}
	}
}

// period is Config's, or that of the file's days.
func (c *Config) period(lines []Line) (from, to int32) {
	from, to = NoDay, NoDay
	for i := range lines {
		if d := lines[i].Day; d != NoDay && lines[i].Wrong == "" {
			if from == NoDay || d < from {
				from = d
			}
			to = max(to, d)
		}
	}
	if c.FromDay != nil {
		from = *c.FromDay
	}
	if c.ToDay != nil {
		to = *c.ToDay
	}
	return from, to
}

// ParseDay reads a date, for Config.FromDay and ToDay.
func ParseDay(text string) (*int32, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return nil, fmt.Errorf("%q is no date; write 2026-11-20", text)
	}
	day := dayOf(t)
	return &day, nil
}

func (r *Result) count(assets journal.Assets) {
	sums := make(map[journal.Asset]*AssetSums)
	of := func(a journal.Asset) *AssetSums {
		if sums[a] == nil {
			sums[a] = &AssetSums{Asset: assets.Code(a)}
		}
		return sums[a]
	}
	n := &r.Counts
	by := [...]*int{Matched: &n.Matched, Differs: &n.Differs, MissingInFile: &n.MissingInFile, MissingInWallet: &n.MissingInWallet,
		DuplicateInFile: &n.DuplicateInFile, DuplicateInWallet: &n.DuplicateInWallet, Malformed: &n.Malformed}
	n.Lines = len(r.Lines)
	for i := range r.Lines {
		class := r.ofLine[i].Class
		*by[class]++
		if class == Malformed {
			continue
		}
		s := of(r.Lines[i].Asset)
		s.File.Add(int64(r.Lines[i].Amount))
		if class == Matched {
			s.Matched.Add(int64(r.Lines[i].Amount))
		}
	}
	for i := range r.Movements {
		class := r.ofMove[i].Class
		if class == Unmatched {
			continue
		}
		n.Transfers++
		of(r.Movements[i].Asset).Wallet.Add(int64(r.Movements[i].Amount))
		if class != Matched && class != Differs { // a pair was counted with its line
			*by[class]++
		}
	}
	for a := range assets {
		if s := sums[journal.Asset(a)]; s != nil {
			r.Sums = append(r.Sums, *s)
		}
	}
}
