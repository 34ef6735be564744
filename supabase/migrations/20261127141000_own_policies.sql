-- Our policies of messages and of agents' functions say of which table they mean a column: in an app whose conversations or
-- agents have a column of that name, too, they meant that one, and showed rows of others.
do $$
begin
  if exists (
    select from pg_policy
    where polrelid = 'public.messages'::regclass and polname = 'switchyard_own_messages'
  ) then
    alter policy switchyard_own_messages on public.messages
      using (exists (
        select 1 from public.conversations c
        where c.id = messages.conversation_id and c.user_id = (select auth.uid())
      ))
      with check (exists (
        select 1 from public.conversations c
        where c.id = messages.conversation_id and c.user_id = (select auth.uid())
      ));
  end if;
  if exists (
    select from pg_policy
    where polrelid = 'public.agent_functions'::regclass and polname = 'switchyard_own_functions'
  ) then
    alter policy switchyard_own_functions on public.agent_functions
      using (exists (
        select 1 from public.agents a
        where a.id = agent_functions.agent_id and a.user_id = (select auth.uid())
      ))
      with check (exists (
        select 1 from public.agents a
        where a.id = agent_functions.agent_id and a.user_id = (select auth.uid())
      ));
  end if;
end
$$;
