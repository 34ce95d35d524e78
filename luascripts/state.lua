-- state: what a train has loaded, as parallel arrays over numbers: a table per row or account costs half as much again.
-- Words in capital letters are journal's constants: words.go puts their numbers here.

-- What most functions use is declared last: Lua looks for it from the end (groupPrefix in words.go).

-- The sections of a train: of_partition … as they were sent, state_of: whether the partition serves; and the partitions' records.
local trains = 0 -- how many have run: marks of an earlier one are none
local sections, of_partition, of_epoch, first_row, last_row, state_of = 0, {}, {}, {}, {}, {}
local key_part, res_part, owned = {}, {}, false -- of keys and reservations, where that matters (window.lua)
local part_epoch, part_seq, part_ms, part_evicted, part_moved = {}, {}, {}, {}, {}

-- What parts says of the shard: the number of the last outbox entry, and its window (slices.lua).
local caller_epoch, admitted = '', false -- in which the train may run (library.lua)
local last_entry, clock, window, slice_ms, floor, sealed, filtered, live, behind = 0, 0, false, 1, 0, 0, false, {}, {}

-- A channel's end is a number: delivered[d] is the source's seq up to which its legs have been credited here. A leg is a
-- number, too; leg_spare is the suspense account of its asset.
local channels, channel_field, delivered = 0, {}, {}
local legs, leg_to, leg_amount, leg_spare = 0, {}, {}, {}

-- A reservation is a number; res_status[r] is false while there is none. res_payer is an account, res_to a handle.
local reservations, res_id = 0, {}
local res_to, res_amount, created_ms, captured, res_asset, remaining, res_payer, expires_ms = {}, {}, {}, {}, {}, {}, {}, {}
local res_status, resolved_ms = {}, {}

-- An account is a number. available[a] is false while there is none. details: created_ms u56, JSON; loaded where named.
local accounts, handle = 0, {}
local details, details_of = {}, {}
local asset_of, overdraft, status_seq, flags, version, reserved, available = {}, {}, {}, {}, {}, {}, {}

-- A key is a number; record[k] is its record (AppendKey), false when the id is new; old[k]: it may be one that was evicted.
local keys, id_of, old, record = 0, {}, {}, {}

-- The section whose rows are being decided; text: its rows, ending: the number of the last one.
local partition, epoch, ending, evicted, seq, now, text = '', 0, 0, 0, 0, 0, ''

local byte, char, concat, rep, call, spread = string.byte, string.char, table.concat, string.rep, redis.call, unpack
local pack, sub, read = struct.pack, string.sub, struct.unpack

-- A row is a number i. What its act looks at has numbers, too, 0 where there is none (names.go): account and to are accounts,
-- key and tomb are keys, held is a reservation. at: where its bytes start in text; it has none if it only looks. acts[op](i) decides and applies.
local rows, op, verdict, at, asset, held, tomb = 0, {}, {}, {}, {}, {}, {}
local amount, to, key, account = {}, {}, {}, {}
local acts = {nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil}

local function has_flag(f, flag) return f % (2 * flag) >= flag end

local function lesser(a, b) if a < b then return a end return b end

-- Where the bytes of a row of the section end.
local function stop(i) return i < ending and at[i + 1] - 1 or #text end

local function pack_reservation(r)
  return pack('>Bc12c12I7I7I7HI7I7I7', res_status[r], handle[res_payer[r]], res_to[r], res_amount[r], remaining[r], captured[r],
    res_asset[r], created_ms[r], expires_ms[r], resolved_ms[r])
end
