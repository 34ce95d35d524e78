-- reserve: takes an amount from the payer's available balance and keeps it aside (Try). Never from the overdraft; the
-- payee's room is looked at when it is captured.
-- row: verdict, id, account (payer), to (zeros: named with the confirm), amount (minor units), asset, ref, expires_in_s, ext
-- outcome: Tried; the first answer of a key that was seen; KeyOld; a refusal of semantics section 1

acts[RESERVE] = function(i)
  local payer, sum, r = account[i], amount[i], held[i]

  -- Decide.
  local seen = record[key[i]]
  if seen then return first_answer(i, seen) end
  if old[key[i]] and is_old(i) then return answer(i, KEY_OLD) end
  if payer == to[i] then return answer(i, SAME_ACCOUNT) end
  local payee = sub(text, at[i] + 32, at[i] + 43)
  local v = payee == NOBODY and OK or payee_status(i, asset[i], sum)
  local no, detail = try_refused(i, v)
  if not no and sum > available[payer] then
    no, detail = INSUFFICIENT_FUNDS, lesser(sum - available[payer], AMOUNT_MAX)
  end
  if no then return refuse(i, no, detail) end

  -- Apply.
  move_aside(payer, -sum, sum)
  res_status[r], res_payer[r], res_to[r], res_asset[r] = TRIED, payer, payee, asset[i]
  res_amount[r], remaining[r], captured[r] = sum, sum, 0
  created_ms[r], expires_ms[r], resolved_ms[r] = now, now + 1000 * read('>I4', text, at[i] + 57), 0
  reservation_changed(r)
  return accept(i, TRIED)
end
