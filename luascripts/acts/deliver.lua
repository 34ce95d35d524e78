-- deliver: credits the legs of another partition's decided events, in order, exactly once (the keeper's; design section 6).
-- row: source, from, up_to (seqs of the source), legs × (of, id, payer, payee, amount (minor units), asset)
-- outcome: Delivered; DeliveryGap with the number that delivered[source] is; SuspenseFull

acts[DELIVER] = function(i)
  local d, from, first = account[i], amount[i], to[i]
  local last, up_to = first + key[i] - 1, read('>I7', text, at[i] + 12)

  -- Decide.
  if delivered[d] ~= from then return answer(i, DELIVERY_GAP, delivered[d]) end
  if up_to < from then return answer(i, MALFORMED) end
  local after = {}
  for l = first, last do
    local a, has = receiver(l, after)
    if not a then return answer(i, SUSPENSE_FULL) end
    leg_to[l], after[a] = a, has
  end

  -- Apply.
  happen(i)
  for l = first, last do
    local a = leg_to[l]
    if not available[a] then open_spare(a) end
    move(a, leg_amount[l])
  end
  delivered[d], channel_moved[d] = up_to, true
  return answer(i, DELIVERED)
end
