package walletd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"walletd/gateway/wire"
	"walletd/journal"
	"walletd/projector/settle"
)

// settleFlags are those of one settlement file, its mapping's left out.
type settleFlags struct {
	data, path, mapping string
	from, to            string
	first               int
	config              settle.Config
}

// mappingKeys are those of a mapping's file, and flags with - for _.
var mappingKeys = []string{"reference", "amount", "asset", "asset_is", "date", "direction", "date_format", "zone", "unit", "decimal", "group", "debit", "credit",
	"negative", "separator", "header", "skip"}

func (a *app) reconcileFileCmd() *cobra.Command {
	var x settleFlags
	cmd := &cobra.Command{
		Use: "file FILE", Short: "match a settlement file (CSV) against the wallet's transfers", Args: args(1, 1),
		Long: `file matches each line of a bank's or a processor's CSV against the transfers in the journal, also beside a running wallet, and tells of each
whether it is matched, differs, is missing on one side or is there twice. Columns are named as in the header, or by their numbers from 1; a mapping
can be kept in a YAML file with the flags' names (_ for -), and flags go before it. docs/settlement.md tells the rules.
Exit code 9: there are differences; 2: lines are malformed, each is named with its column, and the others are matched.`,
		Example: `  walletd reconcile file november.csv --data DIR --reference order_id --amount gross --asset currency --date booked --days 3
  walletd reconcile file bank.csv -c walletd.yaml --mapping bank.yaml --account bank -o csv > classes.csv`,
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := x.read(cmd.Flags()); err != nil {
				return err
			}
			return a.reconcileFile(cmd.Context(), &x, given[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&x.data, "data", "", "data directory of a dev wallet, stopped or running")
	f.StringVarP(&x.path, "config", "c", "", "walletd.yaml of a cluster")
	f.StringVar(&x.mapping, "mapping", "", "YAML file with the mapping")
	f.StringVar(&x.config.MatchOn, "match-on", settle.OnReference, "what the file's reference is in the wallet: reference, key or id (tr_…, rs_…)")
	f.StringVar(&x.config.Account, "account", "", "only transfers from and to this account; directions are as it sees them")
	f.IntVar(&x.config.Days, "days", 0, "how many days the dates of a line and of its transfer may lie apart")
	f.StringVar(&x.from, "from", "", "first day whose transfers must be in the file (default: the file's first)")
	f.StringVar(&x.to, "to", "", "last day whose transfers must be in the file (default: the file's last)")
	f.BoolVar(&x.config.Strict, "strict", false, "stop at the first malformed line")
	f.IntVar(&x.config.Max, "max", settle.MaxDefault, "lines and transfers to hold at most, some 200 bytes each")
	f.IntVar(&x.first, "first", 20, "differences to list, -1 for all (-o json: all, unless it is given; -o csv: every line)")
	mappingFlags(f)
	return cmd
}

func mappingFlags(f *pflag.FlagSet) {
	f.String("reference", "", "column of what the transfers are matched by")
	f.String("amount", "", "column of the amount")
	f.String("asset", "", "column of the asset's code")
	f.String("asset-is", "", "the asset of all lines, where there is no column")
	f.String("date", "", "column of the date; without it, days are not compared")
	f.String("direction", "", "column that tells debit from credit")
	f.StringSlice("debit", nil, "texts in it that mean: the account pays")
	f.StringSlice("credit", nil, "texts in it that mean: the account is paid")
	f.String("negative", "", "what a negative amount means: debit or credit")
	f.String("date-format", "iso", "iso, unix, unix_ms, or like DD.MM.YYYY hh:mm:ss")
	f.String("zone", "UTC", "time zone of dates, and of the days that are compared")
	f.String("unit", "decimal", "decimal (12.50) or minor (1250)")
	f.String("decimal", ".", "the decimal sign: . or ,")
	f.String("group", "", "the sign between groups of three digits")
	f.String("separator", "", "of columns: , ; | or tab (default: what the first line has most of)")
	f.Bool("header", false, "there is a header though columns are numbers")
	f.Int("skip", 0, "lines before the header or the first row")
}

// read takes the mapping from its file and the flags.
func (x *settleFlags) read(flags *pflag.FlagSet) error {
	k := koanf.New(".")
	if x.mapping != "" {
		if err := k.Load(file.Provider(x.mapping), yaml.Parser()); err != nil {
			return exit(exitUsage, "--mapping %s: %w", x.mapping, err)
		}
		for key := range k.All() {
			if !slices.Contains(mappingKeys, key) {
				return exit(exitUsage, "--mapping %s: unknown key %q (known: %s)", x.mapping, key, strings.Join(mappingKeys, ", "))
			}
		}
	}
	given := posflag.ProviderWithFlag(flags, ".", nil, func(f *pflag.Flag) (string, any) {
		if key := strings.ReplaceAll(f.Name, "-", "_"); f.Changed && slices.Contains(mappingKeys, key) {
			return key, posflag.FlagVal(flags, f)
		}
		return "", nil
	})
	if err := k.Load(given, nil); err != nil {
		return exit(exitUsage, "mapping: %w", err)
	}
	if err := k.UnmarshalWithConf("", &x.config.Mapping, koanf.UnmarshalConf{Tag: "koanf"}); err != nil {
		return exit(exitUsage, "mapping: %w", err)
	}
	if flags.Changed("asset") && !flags.Changed("asset-is") { // a flag stands against the file's other way to say it
		x.config.Mapping.AssetIs = ""
	} else if flags.Changed("asset-is") && !flags.Changed("asset") {
		x.config.Mapping.Asset = ""
	}
	if err := x.config.Mapping.Validate(); err != nil {
		return exit(exitUsage, "%w", err)
	}
	for flag, day := range map[string]struct {
		text string
		to   **int32
	}{"--from": {x.from, &x.config.FromDay}, "--to": {x.to, &x.config.ToDay}} {
		if day.text == "" {
			continue
		}
		var err error
		if *day.to, err = settle.ParseDay(day.text); err != nil {
			return exit(exitUsage, "%s: %w", flag, err)
		}
	}
	if x.first < 0 || !flags.Changed("first") && flags.Lookup("output").Value.String() == "json" {
		x.first = -1
	}
	return nil
}

func (a *app) reconcileFile(ctx context.Context, x *settleFlags, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return exit(exitUsage, "%w", err)
	}
	defer func() { _ = f.Close() }()
	j, err := a.openJournal(ctx, x.data, x.path)
	if err != nil {
		return err
	}
	defer j.close()
	b := a.bar("file")
	x.config.File, x.config.Log, x.config.Assets = f, j.log, j.assets
	x.config.Progress = func(stage string, done, total int64) { b.stage(stage, float64(done)/float64(max(total, 1))) }
	r, err := settle.Run(ctx, x.config)
	b.done()
	switch {
	case err == nil:
	case errors.Is(err, journal.ErrDamaged), ctx.Err() != nil:
		return damaged(err)
	case errors.Is(err, settle.ErrTooMany):
		return exit(exitUsage, "%w: %d are allowed; choose a period (--from, --to) or an account, or allow more with --max", err, x.config.Max)
	default:
		return exit(exitUsage, "%s: %w", path, err)
	}
	if err := a.showSettlement(r, j.assets, x.first); err != nil {
		return err
	}
	switch n := &r.Counts; {
	case n.Malformed > 0:
		return exit(exitUsage, "%s: %s", path, firstMalformed(r))
	case n.Differences() > 0:
		return exit(exitDifferent, "%s and the wallet differ: %d differences", path, n.Differences())
	}
	return nil
}

func firstMalformed(r *settle.Result) string {
	for i := range r.Lines {
		if l := &r.Lines[i]; l.Wrong != "" {
			return fmt.Sprintf("%d malformed, the first: line %d, column %d: %s", r.Counts.Malformed, l.Number, l.Column, l.Wrong)
		}
	}
	return ""
}

func (a *app) showSettlement(r *settle.Result, assets journal.Assets, first int) error {
	switch a.output {
	case "csv":
		return r.WriteCSV(a.out, assets)
	case "json":
		return r.WriteJSON(a.out, assets, first)
	}
	return r.WriteText(a.out, assets, first, func(amount journal.Amount, asset journal.Asset) string {
		if int(asset) >= len(assets) {
			return fmt.Sprint(amount)
		}
		return wire.FormatDecimal(amount, assets[asset].Exponent) + " " + assets[asset].Code
	})
}
