-- What one customer ordered, over all orders.

function later(a, b)
  if a > b then return a end
  return b
end

span = {
  create = function() return { low = math.huge, high = -math.huge } end,
  add = function(span, weight) return { low = math.min(span.low, weight), high = math.max(span.high, weight) } end,
  result = function(span) return { span.low, span.high } end,
}

function process(event, ctx)
  state.orders:update(state.orders:value() + 1)
  local heaviest = state.heaviest:value()
  if heaviest == nil or event.weight > heaviest.weight or event.weight == heaviest.weight and event.id < heaviest.id then
    state.heaviest:update { id = event.id, weight = event.weight }
  end
  state.ids:add(event.id)
  state.categories:put(event.category, (state.categories:get(event.category) or 0) + 1)
  state.quantity:add(event.quantity)
  state.volume:add(event.price)
  state.first_id:add(event.id)
  state.last_word:add(event.category)
  state.mean:add(event.weight)
  state.known:add(event.quantity)
  state.span:add(event.weight)
  ctx:register_event_time_timer(4102444800000)
  emit('seen', { id = event.id })
end

function on_timer(timestamp, ctx)
  local ids, categories = state.ids:get(), {}
  table.sort(ids)
  for category, orders in state.categories:entries() do categories[category] = orders end
  local low, high = table.unpack(state.span:get())
  emit {
    customer = ctx:current_key(),
    orders = state.orders:value(),
    ids = ids,
    categories = categories,
    heaviest = state.heaviest:value(),
    quantity = state.quantity:get(),
    volume = state.volume:get(),
    first_id = state.first_id:get(),
    last_word = state.last_word:get(),
    mean = state.mean:get(),
    known = state.known:get(),
    low = low,
    high = high,
  }
  state.ids:clear()
  state.categories:clear()
end
