package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Transfer moves an amount and waits for the outcome: at most once, however often it had to be asked. The errors are
// *RefusedError (nothing moved), *UnknownError (repeat it with its Key only), or say that it was not sent.
func (c *Client) Transfer(ctx context.Context, t Transfer) (Result, error) {
	if err := t.prepare(); err != nil {
		return Result{}, err
	}
	a, err := c.call(ctx, AppendTransfer(make([]byte, 0, 256), &t), 1)
	return transferEnd(a.result, t.Key, err)
}

// transferEnd names the key, and holds no reply for an acceptance that does not say so.
func transferEnd(result Result, key string, err error) (Result, error) {
	result.Key = key
	if err == nil && result.Status == "" {
		err = &UnknownError{Err: errors.New("the reply tells of no transfer")}
	}
	return result, withKey(err, key)
}

// Outcome is how one transfer of a batch ended; Err as Transfer's.
type Outcome struct {
	Result Result
	Err    error
}

// Batch moves up to 1,000 amounts, each for itself, and waits for all outcomes, in the order of the transfers. Items
// that are refused for now are asked again, each with its key. The error is that of the batch as a whole; outcomes that
// are known by then are returned beside it.
func (c *Client) Batch(ctx context.Context, transfers []Transfer) ([]Outcome, error) {
	if len(transfers) == 0 {
		return nil, nil
	}
	if len(transfers) > batchMax {
		return nil, &RefusedError{Code: "malformed", Field: "transfers", Detail: "at most 1,000 in a batch"}
	}
	items := append([]Transfer(nil), transfers...)
	outcomes := make([]Outcome, len(items))
	open := make([]int, len(items)) // indices of what has no final outcome yet
	for i := range items {
		if err := items[i].prepare(); err != nil {
			return nil, fmt.Errorf("transfer %d: %w", i, err)
		}
		outcomes[i].Result.Key = items[i].Key
		open[i] = i
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	maybe := make([]bool, len(items)) // an earlier attempt may have happened
	for attempt := 0; ; attempt++ {
		err := c.batchOnce(ctx, items, open, outcomes, maybe)
		if open = c.stillOpen(open, outcomes, maybe, attempt); err == nil && len(open) == 0 {
			return outcomes, nil
		}
		if err == nil {
			err = pause(ctx, c.backoff(attempt))
			if err == nil {
				continue
			}
		}
		closeBatch(open, items, outcomes, maybe, err)
		return outcomes, err
	}
}

// batchOnce sends the open items and notes how each ended.
func (c *Client) batchOnce(ctx context.Context, items []Transfer, open []int, outcomes []Outcome, maybe []bool) error {
	a, err := c.call(ctx, appendBatch(nil, items, open), len(open))
	for _, i := range open {
		maybe[i] = maybe[i] || a.maybe // the frame was sent before, and its reply was lost
	}
	if err != nil {
		for _, i := range open {
			outcomes[i].Err = err
		}
		return err
	}
	var reply struct {
		Data []struct {
			OK    *resultShape `json:"ok"`
			Error *refusal     `json:"error"`
		} `json:"data"`
	}
	err = json.Unmarshal(a.reply, &reply)
	if err == nil && len(reply.Data) != len(open) {
		err = fmt.Errorf("%d outcomes for %d transfers", len(reply.Data), len(open))
	}
	if err != nil {
		err = &UnknownError{Err: fmt.Errorf("read the reply to a batch: %w", err)}
		for _, i := range open {
			outcomes[i].Err = err
		}
		return err
	}
	for n, i := range open {
		outcomes[i] = Outcome{Result{Key: items[i].Key}, &UnknownError{Err: errors.New("the reply says nothing about it")}}
		switch item := reply.Data[n]; {
		case item.Error != nil:
			outcomes[i].Err = item.Error.refused()
		case item.OK != nil:
			if result, err := item.OK.result(); err == nil {
				outcomes[i].Result, outcomes[i].Err = transferEnd(result, items[i].Key, nil)
			}
		}
	}
	return nil
}

// stillOpen returns which items are worth another attempt.
func (c *Client) stillOpen(open []int, outcomes []Outcome, maybe []bool, attempt int) []int {
	patient := c.cfg.Retries == 0 || attempt < c.cfg.Retries
	left := open[:0]
	for _, i := range open {
		err := outcomes[i].Err
		e, refused := errors.AsType[*RefusedError](err)
		switch {
		case refused && e.asksAgain():
			maybe[i] = true
			left = append(left, i)
		case refused && e.Retryable && patient:
			left = append(left, i)
		case err != nil && maybe[i] && (!refused || !e.settles()):
			outcomes[i].Err = &UnknownError{Err: err}
		}
	}
	return left
}

// closeBatch says what is known of the items that are still open when the batch ends.
func closeBatch(open []int, items []Transfer, outcomes []Outcome, maybe []bool, cause error) {
	for _, i := range open {
		if maybe[i] {
			outcomes[i].Err = &UnknownError{Err: cause}
		}
	}
	for i := range outcomes {
		if unknown, ok := errors.AsType[*UnknownError](outcomes[i].Err); ok {
			outcomes[i].Err = &UnknownError{Key: items[i].Key, Err: unknown.Err}
		}
	}
}

// Balance reads a balance, strong: from the shard, never one that a recovery could take back.
func (c *Client) Balance(ctx context.Context, account string) (b Balance, err error) {
	if err := checkText("account", account); err != nil {
		return b, err
	}
	command := append(appendText([]byte(`"balance":{"account":`), account), '}')
	return b, c.fetch(ctx, command, "", &b)
}

// Reserve takes an amount aside (Try). Its reservation's id is TransferID(r.From, r.Key) with the prefix rs_.
func (c *Client) Reserve(ctx context.Context, r Reserve) (v Reservation, err error) {
	if err := r.prepare(); err != nil {
		return v, err
	}
	return v, c.fetch(ctx, appendReserve([]byte(`"reserve":`), &r, true), r.Key, &v)
}

// Confirm captures a reservation, all of it or a part.
func (c *Client) Confirm(ctx context.Context, f Confirm) (v Reservation, err error) {
	if err := f.prepare(); err != nil {
		return v, err
	}
	return v, c.fetch(ctx, appendConfirm([]byte(`"confirm":`), &f, true), f.Key, &v)
}

// Cancel releases a reservation. It needs no key: a repeat gets the first answer.
func (c *Client) Cancel(ctx context.Context, reservation string) (v Reservation, err error) {
	if err := checkText("reservation", reservation); err != nil {
		return v, err
	}
	command := append(appendText([]byte(`"cancel":{"reservation":`), reservation), '}')
	return v, c.fetch(ctx, command, "", &v)
}

// CancelKey releases a reservation whose reserve has not been answered. When the reserve comes later it is refused for ever.
func (c *Client) CancelKey(ctx context.Context, from, key string) (v Reservation, err error) {
	if err := firstError(checkText("from", from), checkText("key", key)); err != nil {
		return v, err
	}
	command := appendText([]byte(`"cancel":{"from":`), from)
	command = append(appendText(append(command, `,"key":`...), key), '}')
	return v, c.fetch(ctx, command, key, &v)
}

// Refresh gives the session another token before the old one expires; reconnects use it, too.
func (c *Client) Refresh(ctx context.Context, token string) error {
	if err := checkText("token", token); err != nil {
		return err
	}
	var nothing struct{}
	command := append(appendText([]byte(`"refresh":{"token":`), token), '}')
	if err := c.fetch(ctx, command, "", &nothing); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
	return nil
}

// fetch sends a command and decodes its reply.
func (c *Client) fetch(ctx context.Context, command []byte, key string, into any) error {
	a, err := c.call(ctx, command, 1)
	if err != nil {
		return withKey(err, key)
	}
	if err := json.Unmarshal(a.reply, into); err != nil {
		return &UnknownError{Key: key, Err: fmt.Errorf("read the reply: %w", err)}
	}
	return nil
}
