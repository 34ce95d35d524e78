package luascripts

import (
	"context"

	"walletd/journal"
)

// Standing is what a shard has of some accounts at one moment.
type Standing struct {
	Part     Part // of their partition
	Serves   bool // false: the shard does not serve the partition, and the rest is empty
	Accounts []journal.Account
	Found    []bool // whether there is such an account
}

// AccountsMax bounds one reading of accounts: its answer is some 4 KB, and takes the shard about 30 µs.
const AccountsMax = 128

// Accounts reads accounts of one partition, and how far that is, in one moment: no train runs in between. It is for auditors and
// changes nothing: what it answers may not be durable yet, or of a shard that was deposed.
func (s *Shard) Accounts(ctx context.Context, partition int, handles []journal.Handle) (st Standing, err error) {
	fields := make([]string, len(handles))
	for i := range handles {
		fields[i] = string(handles[i][:])
	}
	pipe := s.client.TxPipeline()
	part := pipe.HMGet(ctx, partsKey, partitionField(partition))
	records := pipe.HMGet(ctx, accountsKey, fields...)
	if _, err := pipe.Exec(ctx); err != nil {
		return st, s.fault("read accounts of", err)
	}
	text, ok := part.Val()[0].(string)
	if !ok {
		return st, nil
	}
	st.Part.Partition = partition
	if err := st.Part.parse([]byte(text)); err != nil {
		return st, s.fault("read accounts of", err)
	}
	st.Serves, st.Accounts, st.Found = true, make([]journal.Account, len(handles)), make([]bool, len(handles))
	for i, v := range records.Val() {
		if text, st.Found[i] = v.(string); !st.Found[i] {
			continue
		}
		if st.Accounts[i], err = ParseAccount([]byte(text)); err != nil {
			return st, s.fault("read accounts of", err)
		}
	}
	return st, nil
}
