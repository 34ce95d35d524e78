-- answers: the words in which acts answer, and mark what train.lua shall write at the end. Nothing is written here.

-- A row's status byte, by row: the status, and a bit when something stands behind the statuses of its section.
local said = {}

-- The reply grows in pieces; numbers that follow one another wait to be packed together.
local out, outs, number, numbers = {}, 0, {}, 0

-- Runs of rows that have happened, in the section: where each begins and ends, but for the end of the last one, which is run_end.
local run_from, run_to, runs, run_end = {}, {}, 0, -1

-- The outbox entry: names and values of its fields, the heads of its sections.
local entry, entry_words, entry_head, entry_heads = {'h', ''}, 2, {}, 0

-- What has changed.
local changed, changes, moved = {}, 0, {}
local key_writes, key_written, slice_writes = {}, 0, {} -- slice_writes: the key_writes of each time slice
local key_head = {} -- of the section's key records, by status and op: what 256 seqs have in common
local last_byte = {} -- of a seq
for n = 0, 255 do last_byte[n] = char(n) end
local res_changed, res_changes, res_moved = {}, 0, {}
local channel_moved, details_changed = {}, {}

local function put(piece)
  if numbers > 0 then
    outs = outs + 1
    out[outs] = pack('>' .. rep('I7', numbers), spread(number, 1, numbers))
    numbers = 0
  end
  outs = outs + 1
  out[outs] = piece
end

local function answer(i, status, detail)
  if detail then
    status = status + DETAIL_FOLLOWS
    numbers = numbers + 1
    number[numbers] = detail
  end
  said[i] = status
end

-- A reservation behind a confirm's, cancel's or look's status: its length, then the record.
local function put_reservation(r)
  put(res_status[r] and char(RESERVATION_SIZE) .. pack_reservation(r) or '\0')
end

-- The event of an act that has happened: the next seq, the row as it came, the status that it is answered.
local function happen(i)
  seq = seq + 1
  if i ~= run_end + 1 then
    run_to[runs], runs = run_end, runs + 1
    run_from[runs] = i
  end
  run_end = i
  if seq % 256 == 0 then key_head = {} end
end

-- The part of a keyed row that a repeat must equal: `to … before ext` (journal.Content).
local function content(i)
  local o, p = op[i], at[i]
  if o <= PAY then return sub(text, p + 32, p + 56) end
  if o == RESERVE then return sub(text, p + 32, p + 60) end
  if o == CONFIRM then return sub(text, p + 36, p + 55) end
  return '' -- a tombstone
end

-- What the short key records of 256 seqs of the section begin with.
local function head_of(status, o)
  local head = pack('>BBI6I4I6', status, o, now, epoch, math.floor(seq / 256))
  key_head[64 * o + status] = head
  return head
end

-- The first outcome of a key, with the seq that happen has just given. A short record has no detail, and one byte less of its time.
local function keep(i, status, detail)
  local k, o, n = key[i], op[i], key_written
  local first
  if detail == 0 then
    first = (key_head[64 * o + status] or head_of(status, o)) .. last_byte[seq % 256] .. content(i)
  else
    first = pack('>BBI7I4I7I7', status, o, now, epoch, seq, detail) .. content(i)
  end
  record[k], key_writes[n + 1], key_writes[n + 2] = first, id_of[k], first
  key_written = n + 2
end

local content_size = {[TRANSFER] = 25, [PAY] = 25, [RESERVE] = 29, [CONFIRM] = 20, [CANCEL] = 0}

-- A key's record in its long form (journal.KeyRecord).
local function whole(r)
  if #r - SHORT_KEY_SIZE ~= content_size[byte(r, 2)] then return r end
  return sub(r, 1, 2) .. '\0' .. sub(r, 3, SHORT_KEY_SIZE) .. '\0\0\0\0\0\0\0' .. sub(r, SHORT_KEY_SIZE + 1)
end

-- happen and keep in one: most rows come this way.
local function accept(i, status)
  local o, k, n, p, s = op[i], key[i], key_written, at[i], seq + 1
  if i ~= run_end + 1 then
    run_to[runs], runs = run_end, runs + 1
    run_from[runs] = i
  end
  if s % 256 == 0 then key_head = {} end
  seq, run_end = s, i
  local head = key_head[64 * o + status] or head_of(status, o)
  local first = head .. last_byte[s % 256] .. (o <= PAY and sub(text, p + 32, p + 56) or content(i))
  record[k], key_writes[n + 1], key_writes[n + 2] = first, id_of[k], first
  key_written, said[i] = n + 2, status
end

-- A refusal of a keyed act. Frozen (semantics section 1): stored under the key and journaled; else the key stays usable.
local function refuse(i, status, detail)
  if status >= PAYER_CLOSED and status <= EXCEEDS_TRANSFER and status ~= RESERVATION_NOT_FOUND then
    happen(i)
    keep(i, status, detail or 0)
  end
  answer(i, status, detail)
end

-- The first field in which a repeat differs; nil when none does.
local function differing(o, first, again)
  if first == again then return nil end
  if sub(first, 1, 12) ~= sub(again, 1, 12) then return KEY_REUSED_TO end
  if sub(first, 13, 19) ~= sub(again, 13, 19) then return KEY_REUSED_AMOUNT end
  if o == CONFIRM then return KEY_REUSED_FINAL end
  if sub(first, 20, 21) ~= sub(again, 20, 21) then return KEY_REUSED_ASSET end
  if o == RESERVE and sub(first, 26, 29) ~= sub(again, 26, 29) then return KEY_REUSED_EXPIRES end
  return KEY_REUSED_REFERENCE
end

-- A key that has been seen answers its first outcome, word for word (semantics section 2).
local function first_answer(i, seen)
  seen = whole(seen)
  local status, first = byte(seen, 1, 2)
  if status == TOMBSTONE then return answer(i, CANCELLED_BEFORE_TRY) end
  local o = op[i]
  if first == PAY then first = TRANSFER end
  if first ~= (o == PAY and TRANSFER or o) then return answer(i, KEY_REUSED_KIND) end
  local differs = differing(o, sub(seen, 28), content(i))
  if differs then return answer(i, differs) end
  said[i] = status + REPLAYED
  put(sub(seen, 3, 27))
  if o == CONFIRM and status < KEY_REUSED_KIND then put_reservation(held[i]) end
end

-- One version of an account.
local function move(a, sum)
  available[a], version[a] = available[a] + sum, version[a] + 1
  if moved[a] ~= trains then
    changes = changes + 1
    moved[a], changed[changes] = trains, a
  end
end

-- The same, with a sum that is reserved from here on, or no more.
local function move_aside(a, sum, aside)
  reserved[a] = reserved[a] + aside
  return move(a, sum)
end

-- Whether a row's key is new and its payer has no flags and the sum, without an overdraft: then nothing that is his stands against it.
local function unopposed(i, payer, sum)
  local k, has = key[i], available[payer]
  return not record[k] and not old[k] and has and sum <= has and flags[payer] == 0 and asset_of[payer] == asset[i]
end

-- What a check of the payee answers.
local function check(a, kind, sum)
  local has = available[a]
  if not has then return PAYEE_NOT_FOUND end
  if asset_of[a] ~= kind then return ASSET_MISMATCH end
  local f = flags[a]
  if f ~= 0 then
    if has_flag(f, CLOSED) then return PAYEE_CLOSED end
    if has_flag(f, FROZEN_RECEIVING) then return PAYEE_FROZEN end
  end
  if sum > AMOUNT_MAX - (has + reserved[a]) then return BALANCE_OVERFLOW end
  return OK
end

-- The payee's part in a decision: as its check said elsewhere, or as this partition sees it.
local function payee_status(i, kind, sum)
  local v = verdict[i]
  if v == VERDICT_LOCAL then return check(to[i], kind, sum) end
  return v
end

local function payee_refuses(v) return v == PAYEE_NOT_FOUND or v == PAYEE_CLOSED or v == PAYEE_FROZEN end

-- What stands against a transfer, pay or reserve before its funds are looked at, in the order of semantics section 1.
-- v: the payee's status.
local function try_refused(i, v)
  local payer = account[i]
  local known, f = available[payer], flags[payer]
  if v == ASSET_MISMATCH or (known and asset_of[payer] ~= asset[i]) then return ASSET_MISMATCH end
  if not known then return PAYER_NOT_FOUND end
  if f ~= 0 then
    if has_flag(f, CLOSED) then return PAYER_CLOSED end
    if has_flag(f, FROZEN_SENDING) then return PAYER_FROZEN end
  end
  if v ~= OK and payee_refuses(v) then return v end
end

-- What stands against taking the row's amount from its payer, overdraft included, and giving it to the payee.
local function funds_refused(i, v)
  local payer, sum = account[i], amount[i]
  local spendable = available[payer] + overdraft[payer]
  if flags[payer] ~= 0 and has_flag(flags[payer], ISSUANCE) then
    if sum > available[payer] + AMOUNT_MAX then return LIMIT_EXCEEDED, AMOUNT_MAX end
  elseif sum > spendable then
    return INSUFFICIENT_FUNDS, lesser(sum - spendable, AMOUNT_MAX)
  end
  if v == BALANCE_OVERFLOW then return BALANCE_OVERFLOW end
end
