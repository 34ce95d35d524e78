-- state: what a train has loaded, as parallel arrays over numbers: a table per row or account costs half as much again.
-- Words in capital letters are journal's constants: words.go puts their numbers here.

local arg = ARGV[1]
local byte, char, sub, concat = string.byte, string.char, string.sub, table.concat
local pack, read, spread, call = struct.pack, struct.unpack, unpack, redis.call

-- A row is a number i. at: where its bytes start in arg, stop: where they end. needs[op](i, at) names what the act will look
-- at, acts[op](i) decides and applies. Which of the other arrays an act fills is its own business.
local needs, acts = {}, {}
local at, stop, op = {}, {}, {}
local key, account, payee, to, verdict, amount, asset, held, tomb, whole = {}, {}, {}, {}, {}, {}, {}, {}, {}, {}

-- An account is a number. available[a] is false while there is none. details: created_ms u56, JSON; loaded where named.
local accounts, account_of, handle = 0, {}, {}
local available, reserved, flags, version, status_seq, asset_of, overdraft = {}, {}, {}, {}, {}, {}, {}
local details, details_named = {}, {}

-- A key is a number; record[k] is its packed journal.KeyRecord, false when the id is new.
local keys, key_of, id_of, record = 0, {}, {}, {}

-- A reservation is a number; res_status[r] is false while there is none. res_payer is an account, res_to a handle.
local reservations, reservation_of, res_id = 0, {}, {}
local res_status, res_payer, res_to, res_amount, remaining, captured = {}, {}, {}, {}, {}, {}
local res_asset, created_ms, expires_ms = {}, {}, {}

-- A channel's end is a number: delivered[d] is the source's seq up to which its legs have been credited here.
local channels, channel_of, channel_field, delivered = 0, {}, {}, {}
local channel, leg_first, leg_last, leg_to, leg_amount, leg_spare, legs = {}, {}, {}, {}, {}, {}, 0
local spare_asset = {}

-- The section whose rows are being decided.
local partition, epoch, seq, now, spare = '', 0, 0, 0, {} -- spare: the suspense account of an asset

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
    keys, key_of[id], id_of[k] = k, k, id
  end
  return k
end

local function reservation_named(id)
  local r = reservation_of[id]
  if not r then
    r = reservations + 1
    reservations, reservation_of[id], res_id[r] = r, r, id
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

-- What may still be credited. Sums stay within 2^54: a comparison with an amount is exact even where the sum is rounded.
local function room(a) return AMOUNT_MAX - (available[a] + reserved[a]) end

local function lesser(a, b) if a < b then return a end return b end

local function pack_reservation(r)
  return pack('>Bc12c12I7I7I7HI7I7', res_status[r], handle[res_payer[r]], res_to[r], res_amount[r], remaining[r], captured[r],
    res_asset[r], created_ms[r], expires_ms[r])
end
