-- transfer: moves an amount between two accounts of this partition.
-- row: verdict, id, account (payer), to, amount (minor units), asset, ref, ext
-- outcome: Confirmed; the first answer of a key that was seen; KeyOld; a refusal of semantics section 1

acts[TRANSFER] = function(i)
  local payer, a, sum = account[i], to[i], amount[i]

  -- Decide.
  local v = check(a, asset[i], sum)
  if v ~= OK or payer == a or not unopposed(i, payer, sum) then -- few rows
    local seen = record[key[i]]
    if seen then return first_answer(i, seen) end
    if old[key[i]] and is_old(i) then return answer(i, KEY_OLD) end
    if payer == a then return answer(i, SAME_ACCOUNT) end
    local no, detail = try_refused(i, v)
    if not no then no, detail = funds_refused(i, v) end
    if no then return refuse(i, no, detail) end
  end

  -- Apply.
  move(payer, -sum)
  move(a, sum)
  return accept(i, CONFIRMED)
end
