// Beside the runs, what an app asks its own project with supabase-js: the account they are paid from.

const given = new URLSearchParams(location.search);
const token = document.querySelector("form").elements.token;

// An app that signs its users in with Supabase leaves `accessToken` out: the client then sends the session's own.
const project = window.supabase.createClient(given.get("project"), given.get("key"), {
  accessToken: async () => token.value || null,
});

document.querySelector("#account button").addEventListener("click", async () => {
  const [account, usage] = await Promise.all([
    project.from("credit_balances").select("credits_remaining, held").maybeSingle(),
    project.from("credit_usage").select("credits_used").order("created_at"),
  ]);
  show("balance", account.data?.credits_remaining);
  show("held", account.data?.held);
  show("used", usage.data?.map((each) => each.credits_used).join(" "));
  show("refusal", account.error?.message ?? usage.error?.message);
});

function show(id, value) {
  document.getElementById(id).textContent = value ?? "";
}

// For the tests, which try what this page would not.
window.project = project;
