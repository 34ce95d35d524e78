package journal

import "fmt"

// Amount is a sum of money in integer minor units of its asset. A transfer's amount is 1 … AmountMax;
// balances lie within ±AmountMax (design section 5: Lua numbers are doubles).
type Amount int64

// AmountMax is 2^53−1, the largest integer that every part of the wallet represents exactly.
const AmountMax Amount = 1<<53 - 1

// Valid reports whether a can be moved: 1 … AmountMax.
func (a Amount) Valid() bool { return a >= 1 && a <= AmountMax }

// Asset is the stable number of an asset: its place in the configuration's list, which only grows.
type Asset uint16

// AssetInfo describes an asset: its code (2–12 of A–Z 0–9) and the exponent of its minor unit (USD 2, JPY 0, BTC 8).
type AssetInfo struct {
	Code     string `json:"code"`
	Exponent int    `json:"exponent"`
}

// Assets is the configuration's ordered, append-only list; the index is the Asset.
type Assets []AssetInfo

// DevAssets are the assets that a development wallet knows.
var DevAssets = Assets{{"USD", 2}, {"EUR", 2}, {"KRW", 0}, {"JPY", 0}, {"BTC", 8}}

// Lookup finds the asset with this code.
func (as Assets) Lookup(code string) (Asset, bool) {
	for i := range as {
		if as[i].Code == code {
			return Asset(i), true
		}
	}
	return 0, false
}

// Code returns the asset's code, or "#n" for a number that the configuration does not know.
func (as Assets) Code(a Asset) string {
	if int(a) < len(as) {
		return as[a].Code
	}
	return fmt.Sprintf("#%d", a)
}
