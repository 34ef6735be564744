-- An agent that an app left without a price costs what one has from the start, and its owner may edit the rest of it.

create or replace function switchyard.agents_guard_price() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  c_from_the_start constant jsonb := '{"flat": 1}';
begin
  if current_user in ('anon', 'authenticated')
    and coalesce(new.price, c_from_the_start)
      is distinct from coalesce(case when tg_op = 'UPDATE' then old.price end, c_from_the_start)
  then
    raise sqlstate '42501' using message = 'the price of an agent is set by the operator';
  end if;
  return new;
end
$$;
