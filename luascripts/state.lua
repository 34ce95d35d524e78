-- state: what a train has loaded, as parallel arrays over numbers: a table per row or account costs half as much again.
-- Words in capital letters are journal's constants: words.go puts their numbers here.

-- What most functions use is declared last: Lua looks for it from the end (groupPrefix in words.go).

-- A channel's end is a number: delivered[d] is the source's seq up to which its legs have been credited here. A leg is a
-- number, too; leg_spare is the suspense account of its asset.
local channels, channel_of, channel_field, delivered = 0, {}, {}, {}
local channel, leg_first, leg_last, leg_to, leg_amount, leg_spare, legs = {}, {}, {}, {}, {}, {}, 0
local spare, spare_asset = {}, {} -- the section's suspense account of an asset, and the asset of a suspense account

-- A reservation is a number; res_status[r] is false while there is none. res_payer is an account, res_to a handle.
local reservations, reservation_of, res_id = 0, {}, {}
local res_to, res_amount, created_ms, captured, res_asset, remaining, res_payer, expires_ms = {}, {}, {}, {}, {}, {}, {}, {}
local res_status, resolved_ms, res_part = {}, {}, {} -- res_part: the partition

-- An account is a number. available[a] is false while there is none. details: created_ms u56, JSON; loaded where named.
local accounts, account_of, handle = 0, {}, {}
local details, details_named = {}, {}
local asset_of, overdraft, status_seq, flags, version, reserved, available = {}, {}, {}, {}, {}, {}, {}

-- A key is a number; record[k] is its packed journal.KeyRecord, false when the id is new; old[k]: it may be one that was evicted.
local keys, key_of, id_of, key_part, old, record = 0, {}, {}, {}, {}, {}

-- The section whose rows are being decided.
local partition, epoch, evicted, seq, now = '', 0, 0, 0, 0

local byte, char, concat, call, spread = string.byte, string.char, table.concat, redis.call, unpack
local pack, sub, read = struct.pack, string.sub, struct.unpack

-- A row is a number i. at: where its bytes start in arg, stop: where they end. needs[op](i, at) names what the act will look
-- at, acts[op](i) decides and applies. Which of the other arrays an act fills is its own business.
local op, stop, at = {}, {}, {}
local tomb, whole, verdict, payee, to, asset, held, amount, key, account = {}, {}, {}, {}, {}, {}, {}, {}, {}, {}
local needs = {nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil}
local acts = {nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil}
local arg = ARGV[1]

local function account_named(name)
  local a = account_of[name]
  if not a then
    a = accounts + 1
    accounts, account_of[name], handle[a] = a, a, name
  end
  return a
end

local function key_named(id)
  local k = key_of[id]
  if not k then
    k = keys + 1
    keys, key_of[id], id_of[k], key_part[k] = k, k, id, partition
  end
  return k
end

local function reservation_named(id)
  local r = reservation_of[id]
  if not r then
    r = reservations + 1
    reservations, reservation_of[id], res_id[r], res_part[r] = r, r, id, partition
  end
  return r
end

local function channel_named(field)
  local d = channel_of[field]
  if not d then
    d = channels + 1
    channels, channel_of[field], channel_field[d] = d, d, field
  end
  return d
end

local function has_flag(f, flag) return f % (2 * flag) >= flag end

local function lesser(a, b) if a < b then return a end return b end

local function pack_reservation(r)
  return pack('>Bc12c12I7I7I7HI7I7I7', res_status[r], handle[res_payer[r]], res_to[r], res_amount[r], remaining[r], captured[r],
    res_asset[r], created_ms[r], expires_ms[r], resolved_ms[r])
end
