-- This release asks for functions that the schema before it does not have. Each migration that adds such a one ends by
-- raising the version, so that a release which is started before its migrations says so and takes no callers.

create or replace function public.switchyard_schema_version() returns jsonb
language sql immutable security definer
set search_path = ''
as $$
  select jsonb_build_object('version', 2)
$$;
