-- pay: takes an amount from a payer here for a payee of another partition; the channel delivers the credit.
-- row: verdict (what the payee's check said), id, account (payer), to, amount (minor units), asset, ref, ext
-- outcome: Confirmed; the first answer of a key that was seen; KeyOld; a refusal of semantics section 1

acts[PAY] = function(i)
  local payer, sum = account[i], amount[i]

  -- Decide.
  if verdict[i] ~= OK or payer == to[i] or not unopposed(i, payer, sum) then -- few rows
    local seen = record[key[i]]
    if seen then return first_answer(i, seen) end
    if old[key[i]] and is_old(i) then return answer(i, KEY_OLD) end
    if payer == to[i] then return answer(i, SAME_ACCOUNT) end
    local v = payee_status(i, asset[i], sum)
    local no, detail = try_refused(i, v)
    if not no then no, detail = funds_refused(i, v) end
    if no then return refuse(i, no, detail) end
  end

  -- Apply.
  move(payer, -sum)
  return accept(i, CONFIRMED)
end
