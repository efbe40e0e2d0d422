// Runs in the page of `serve`: talks to one model, or to two side by side. All text goes in as text, never as markup.
{
  const element = (id) => document.getElementById(id);
  const made = (tag, name, text = "") => {
    const node = document.createElement(tag);
    node.className = name;
    node.textContent = text;
    return node;
  };
  let key = "";
  let talks = [];
  let running;

  const headers = () => ({ "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) });
  const notice = (text) => {
    element("notice").textContent = text;
    element("notice").hidden = text === "";
  };

  /** The value of an error's body, or what the status says. */
  const errorOf = async (response) => {
    const found = await response.json().catch(() => undefined);
    return new Error(found?.error?.message ?? `the server answered ${response.status}`);
  };

  /** Fills the lists of models; asks for a key where the server wants one. */
  const loadModels = async () => {
    const response = await fetch("/v1/models", { headers: headers() });
    element("locked").hidden = response.status !== 401;
    if (response.status === 401) return notice(key ? "That key is not the server's." : "This server asks for a key.");
    if (!response.ok) throw await errorOf(response);
    notice("");
    const names = (await response.json()).data.map(({ id }) => id);
    const option = (name) => {
      const node = made("option", "", name);
      node.value = name;
      return node;
    };
    element("first").replaceChildren(...names.map(option));
    element("second").replaceChildren(element("second").options[0], ...names.map(option));
    if (names.length > 1) element("second").value = names[1];
    begin();
  };

  /** Empty conversations with the models that are chosen. */
  const begin = () => {
    running?.abort();
    const names = [element("first").value, element("second").value].filter((name) => name !== "");
    talks = names.map((name) => {
      const section = made("section", "talk");
      const turns = made("div", "turns");
      turns.tabIndex = 0;
      turns.setAttribute("role", "log");
      turns.setAttribute("aria-label", `What ${name} says`);
      section.append(made("h2", "", name), turns);
      return { name, section, turns, messages: [] };
    });
    element("talks").replaceChildren(...talks.map(({ section }) => section));
  };

  /** The events of a stream, as they come. */
  async function* eventsOf(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
    }
  }

  const numberOf = (id) => {
    const { value } = element(id);
    return value === "" ? {} : { [id]: Number(value) };
  };

  /** What is asked of a model. */
  const requestOf = ({ name, messages }, text) => {
    const settings = Object.assign({}, ...["temperature", "top_p", "max_tokens", "seed"].map(numberOf));
    const common = { model: name, stream: true, stream_options: { include_usage: true }, ...settings };
    if (element("mode").value === "text") return { path: "/v1/completions", body: { ...common, prompt: text } };
    const system = element("system").value;
    const before = system === "" ? [] : [{ role: "system", content: system }];
    return { path: "/v1/chat/completions", body: { ...common, messages: [...before, ...messages] } };
  };

  /** Scrolls to the end, unless someone reads further up. */
  const follow = (turns, change) => {
    const isAtEnd = turns.scrollHeight - turns.scrollTop - turns.clientHeight < 40;
    change();
    if (isAtEnd) turns.scrollTop = turns.scrollHeight;
  };

  /** Asks one model and writes what it says as it comes. */
  const answer = async (talk, text, signal) => {
    const { turns, messages } = talk;
    const isChat = element("mode").value === "chat";
    if (isChat) {
      messages.push({ role: "user", content: text });
      turns.append(made("div", "turn user", text));
    }
    const turn = made("div", "turn", isChat ? "" : text);
    turns.append(turn);
    turns.scrollTop = turns.scrollHeight;
    let said = "";
    let end = "stopped";
    let tokens;
    try {
      const { path, body } = requestOf(talk, text);
      const response = await fetch(path, { method: "POST", headers: headers(), body: JSON.stringify(body), signal });
      if (!response.ok) throw await errorOf(response);
      for await (const { choices, usage, error } of eventsOf(response)) {
        if (error) throw new Error(error.message);
        const [choice] = choices;
        const fresh = choice?.delta?.content ?? choice?.text ?? "";
        said += fresh;
        if (fresh !== "") follow(turns, () => turn.append(fresh));
        if (choice?.finish_reason) end = choice.finish_reason === "stop" ? "ended by itself" : "as long as it may be";
        tokens = usage?.completion_tokens ?? tokens;
      }
    } catch (error) {
      if (error.name !== "AbortError") {
        turn.classList.add("failed");
        turn.append(error.message);
        end = "failed";
      }
    }
    if (isChat) messages.push({ role: "assistant", content: said });
    const fact = tokens === undefined ? end : `${tokens} ${tokens === 1 ? "token" : "tokens"}, ${end}`;
    follow(turns, () => turns.append(made("p", "fact", fact)));
  };

  const ask = async () => {
    const text = element("text").value;
    if (text === "" || running || talks.length === 0) return;
    running = new AbortController();
    element("text").value = "";
    element("send").hidden = true;
    element("stop").hidden = false;
    await Promise.all(talks.map((talk) => answer(talk, text, running.signal)));
    running = undefined;
    element("send").hidden = false;
    element("stop").hidden = true;
    element("text").focus();
  };

  element("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  element("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    ask();
  });
  element("stop").addEventListener("click", () => running?.abort());
  element("anew").addEventListener("click", begin);
  for (const id of ["first", "second", "mode"]) element(id).addEventListener("change", begin);
  const load = () => loadModels().catch((error) => notice(error.message));
  element("locked").addEventListener("submit", (event) => {
    event.preventDefault();
    key = element("key").value;
    load();
  });
  load();
}
