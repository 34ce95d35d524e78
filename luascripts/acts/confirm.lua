-- confirm: captures a reservation, in whole or in part, and credits the payee here or by the channel.
-- row: verdict, id, reservation, to, amount (minor units; 0: all that remains), final, ext
-- outcome: Confirmed, or Tried while it stays open, each with journal.ConfirmDetail and the reservation; first answer; KeyOld; refusal

acts[CONFIRM] = function(i)
  local r, sum, seen = held[i], amount[i], record[key[i]]

  -- Decide.
  if seen then return first_answer(i, seen) end
  local status = res_status[r]
  if (old[key[i]] or (not status and old[tomb[i]])) and is_old(i) then return answer(i, KEY_OLD) end
  if not status then return refuse(i, entombed(tomb[i]) and ALREADY_CANCELLED or RESERVATION_NOT_FOUND) end
  if handle[res_payer[r]] == sub(text, at[i] + 36, at[i] + 47) then return answer(i, SAME_ACCOUNT) end
  if sum == 0 then sum = remaining[r] end
  local v = payee_status(i, res_asset[r], sum)
  if v == ASSET_MISMATCH then return answer(i, ASSET_MISMATCH) end
  if payee_refuses(v) then return refuse(i, v) end
  if status ~= TRIED then return refuse(i, refusal_of[status]) end
  if now >= expires_ms[r] then return refuse(i, RESERVATION_EXPIRED) end
  if sum > remaining[r] then return refuse(i, EXCEEDS_RESERVATION, remaining[r]) end
  if v == BALANCE_OVERFLOW then return refuse(i, BALANCE_OVERFLOW) end

  -- Apply.
  local freed, detail = capture(r, sum, byte(text, at[i] + 55) == 1)
  move_aside(res_payer[r], freed - sum, -freed)
  if verdict[i] == VERDICT_LOCAL then move(to[i], sum) end
  happen(i)
  keep(i, res_status[r], detail)
  answer(i, res_status[r], detail)
  return put_reservation(r)
end
