-- confirm: captures a reservation, in whole or in part, and credits the payee here or by the channel.
-- row: verdict, id, reservation, to, amount (minor units; 0: all that remains), final, ext
-- outcome: Confirmed, or Tried while it stays open, each with journal.ConfirmDetail and the reservation; first answer; KeyOld; refusal

needs[CONFIRM] = function(i, p)
  local v, id, reservation, name, sum, final = read('>Bc16c16c12I7B', arg, p + 3)
  key[i], held[i], payee[i] = key_named(id), reservation_named(reservation), name
  verdict[i], amount[i], whole[i] = v, sum, final == 1
  to[i] = v == VERDICT_LOCAL and account_named(name)
  tomb[i] = key_named(reservation)
end

acts[CONFIRM] = function(i)
  local r, a, sum, seen = held[i], to[i], amount[i], record[key[i]]

  -- Decide.
  if seen then return first_answer(i, seen) end
  local status = res_status[r]
  if (old[key[i]] or (not status and old[tomb[i]])) and is_old(i) then return answer(KEY_OLD) end
  if not status then return refuse(i, entombed(tomb[i]) and ALREADY_CANCELLED or RESERVATION_NOT_FOUND) end
  if handle[res_payer[r]] == payee[i] then return answer(SAME_ACCOUNT) end
  if sum == 0 then sum = remaining[r] end
  local v = payee_status(i, res_asset[r], sum)
  if v == ASSET_MISMATCH then return answer(ASSET_MISMATCH) end
  if payee_refuses(v) then return refuse(i, v) end
  if status ~= TRIED then return refuse(i, refusal_of[status]) end
  if now >= expires_ms[r] then return refuse(i, RESERVATION_EXPIRED) end
  if sum > remaining[r] then return refuse(i, EXCEEDS_RESERVATION, remaining[r]) end
  if v == BALANCE_OVERFLOW then return refuse(i, BALANCE_OVERFLOW) end

  -- Apply.
  local freed, detail = capture(r, sum, whole[i])
  move(res_payer[r], freed - sum, -freed)
  if a then move(a, sum, 0) end
  happen(i, res_status[r])
  keep(i, res_status[r], detail)
  answer(res_status[r], detail)
  return put_reservation(r)
end
