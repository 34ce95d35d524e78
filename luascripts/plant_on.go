//go:build planted

package luascripts

import (
	"fmt"
	"strings"

	"walletd/journal/planted"
)

// swap is text of the train's scripts and what stands there instead.
type swap struct{ is, planted string }

// plants are the bugs in Lua (see journal/planted).
var plants = map[planted.Bug][]swap{
	planted.NoTombstone: {{"return entomb(i)", "answer(i, OK)\n    return put('\\0')"}},
	planted.FundsBeforeKey: {{"local payer, a, sum = account[i], to[i], amount[i]", "local payer, a, sum = account[i], to[i], amount[i]\n" +
		"local short, by\n if available[payer] then short, by = funds_refused(i, OK) end\n if short then return refuse(i, short, by) end"}},
	planted.LossyNumbers:     {{"= available[a] + sum, version[a] + 1", "= tonumber(tostring(available[a] + sum)), version[a] + 1"}},
	planted.EpochUnchecked:   {{"if part_epoch[name] ~= of_epoch[s] then state_of[s] = STALE_EPOCH end", ""}},
	planted.LeaseForever:     {{"clock >= lease", "false"}},
	planted.DeliverNoCompare: {{"if delivered[d] ~= from then return answer(i, DELIVERY_GAP, delivered[d]) end", ""}},
}

// plant puts the chosen bug into a script. A text that is not there any more panics: a bug that is not planted proves nothing.
func plant(text string) string {
	for bug, swaps := range plants {
		if !planted.Is(bug) {
			continue
		}
		for _, s := range swaps {
			is := spell(string(bug), s.is)
			if strings.Count(text, is) != 1 {
				panic(fmt.Sprintf("luascripts: %s is planted at %q, which stands %d times in the train", bug, s.is, strings.Count(text, is)))
			}
			text = strings.Replace(text, is, spell(string(bug), s.planted), 1)
		}
	}
	return text
}

func clientRetries() int {
	if planted.Is(planted.ClientRetries) {
		return 3
	}
	return -1
}

func releaseFlags() string {
	if planted.Is(planted.ConfirmNeedsMemory) {
		return ""
	}
	return "'allow-oom'"
}
