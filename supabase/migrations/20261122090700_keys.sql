-- API keys of a user's own: made, listed, revoked, and looked up by whoever lets callers in.
--
-- A key is looked up by the hash of the whole of it, never by its prefix, so neither the answer nor the time it takes
-- tells how much of a guess was right.

create function public.switchyard_keys_create(p_user_id uuid, p_name text, p_hash text, p_prefix text) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  k public.api_keys;
begin
  if coalesce(p_hash, '') !~ '^[0-9a-f]{64}$' or length(p_prefix) is distinct from 12 then
    perform switchyard.refuse('PT400', 'invalid_request', 'a key is kept as its SHA-256 in hex and its first 12 characters');
  end if;
  if coalesce(length(p_name), 0) not between 1 and 100 then
    perform switchyard.refuse('PT422', 'invalid_body', 'a key wants a name of 1 to 100 characters');
  end if;
  if not exists (select 1 from auth.users u where u.id = p_user_id) then
    perform switchyard.refuse('PT400', 'invalid_request', 'there is no such user');
  end if;
  -- One at a time for each user, or two calls at once would both find room for the last key.
  perform pg_advisory_xact_lock(hashtextextended('switchyard.keys ' || p_user_id, 0));
  if (select count(*) from public.api_keys a where a.user_id = p_user_id and a.is_active) >= 20 then
    perform switchyard.refuse('PT422', 'invalid_body', 'there are 20 active keys already; revoke one that is not used');
  end if;
  insert into public.api_keys (user_id, key_name, key_hash, key_prefix)
  values (p_user_id, p_name, p_hash, p_prefix)
  returning * into k;
  return jsonb_build_object(
    'id', k.id, 'name', k.key_name, 'prefix', k.key_prefix, 'created_ms', switchyard.epoch_ms(k.created_at)
  );
end
$$;

comment on function public.switchyard_keys_create is
  'Keeps a key of the user''s by its hash; PT422 when the user has 20 active ones.';

create function public.switchyard_keys_list(p_user_id uuid) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', a.id,
    'name', a.key_name,
    'prefix', a.key_prefix,
    'is_active', a.is_active,
    'created_ms', switchyard.epoch_ms(a.created_at),
    'last_used_ms', switchyard.epoch_ms(a.last_used_at)
  ) order by a.is_active desc, a.created_at desc, a.id desc), '[]')
  from (
    select * from public.api_keys
    where user_id = p_user_id
    order by is_active desc, created_at desc, id desc
    limit 200
  ) a
$$;

comment on function public.switchyard_keys_list is
  'The user''s keys without their hashes: active ones first, then revoked ones, newest first; 200 at most.';

create function public.switchyard_keys_revoke(p_user_id uuid, p_key_id uuid) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
begin
  update public.api_keys
  set is_active = false
  where id = p_key_id and user_id = p_user_id;
  if not found then
    perform switchyard.refuse('PT404', 'not_found', 'no such key, or it is not yours');
  end if;
  return jsonb_build_object('id', p_key_id);
end
$$;

comment on function public.switchyard_keys_revoke is
  'Ends a key of the user''s for good; PT404 when it is unknown or somebody else''s. May be repeated.';

create function public.switchyard_keys_find(p_hash text) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select jsonb_build_object(
    'id', a.id,
    'user_id', a.user_id,
    'is_touch_due', a.last_used_at is null or a.last_used_at < statement_timestamp() - interval '1 minute'
  )
  from public.api_keys a
  where a.key_hash = p_hash and a.is_active
$$;

comment on function public.switchyard_keys_find is
  'The active key with this hash and whose it is, or null; is_touch_due: its use should be noted.';

-- Whoever finds a key being written by somebody else leaves it to them.
create function public.switchyard_keys_touch(p_ids uuid[]) returns jsonb
language sql volatile security definer
set search_path = ''
as $$
  with due as (
    select a.id from public.api_keys a
    where a.id = any (p_ids)
      and (a.last_used_at is null or a.last_used_at < statement_timestamp() - interval '1 minute')
    for no key update skip locked
  ), noted as (
    update public.api_keys a
    set last_used_at = statement_timestamp()
    from due
    where a.id = due.id
    returning a.id
  )
  select jsonb_build_object('noted', count(*)) from noted
$$;

comment on function public.switchyard_keys_touch is
  'Notes that these keys are in use, each once a minute at most; answers how many it wrote.';

revoke all on function
  public.switchyard_keys_create(uuid, text, text, text),
  public.switchyard_keys_list(uuid),
  public.switchyard_keys_revoke(uuid, uuid),
  public.switchyard_keys_find(text),
  public.switchyard_keys_touch(uuid[])
from public, anon, authenticated;
grant execute on function
  public.switchyard_keys_create(uuid, text, text, text),
  public.switchyard_keys_list(uuid),
  public.switchyard_keys_revoke(uuid, uuid),
  public.switchyard_keys_find(text),
  public.switchyard_keys_touch(uuid[])
to service_role;
