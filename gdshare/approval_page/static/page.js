// The form: it sends the typed digest, and nothing else. The frame's page has no script.

const element = (id) => document.getElementById(id);

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer; is gdshare approve --serve still running?");
  }
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = { error: text.trim() }; // refusals before the page's own are plain text
  }
  if (!response.ok) throw new Error(body.error);
  return body;
}

async function send(event) {
  event.preventDefault();
  element("refusal").textContent = "";
  try {
    const { accepted } = await request("/api/digest", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ digest: element("digest").value }),
    });
    element("approve").hidden = true;
    element("accepted").textContent =
      `Nothing is signed yet. Go back to the terminal and approve ${accepted} with your key's passphrase.`;
  } catch (error) {
    element("refusal").textContent = error.message;
  }
}

element("approve").addEventListener("submit", send);
try {
  const { name } = await request("/api/bundle");
  element("name").textContent = `Approve the release of ${name}`;
} catch (error) {
  element("refusal").textContent = error.message;
}
