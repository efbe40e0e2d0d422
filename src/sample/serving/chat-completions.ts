/** `POST /v1/chat/completions`: a conversation that the model goes on with, by its own chat template. */
import { messagesAt } from "../../data/formats/messages.ts";
import type { Message } from "../../data/rows.ts";
import { templateValues } from "../../data/template.ts";
import type { Json, JsonObject } from "../../json.ts";
import type { Choice, Piece } from "./choice.ts";
import { wrongField } from "./errors.ts";
import { Fields } from "./fields.ts";
import type { TokenLog } from "./log-probs.ts";
import {
  type Answered,
  type Call,
  checkIds,
  checkText,
  choicesOf,
  type Kitchen,
  MOST_LIKELIEST,
  maxTokensOf,
  modelOf,
  samplingOf,
  usageOf,
} from "./request.ts";
import type { ServedModel } from "./served-model.ts";

/** The messages, with `tools` and `chat_template_kwargs` for the template. Throws ApiError, UserError. */
function conversationOf(fields: Fields): { messages: Message[]; values: JsonObject } {
  const messages = fields.get("messages");
  if (messages === undefined) throw wrongField("messages", "messages are missing");
  const [tools, settings] = [fields.get("tools"), fields.object("chat_template_kwargs")];
  const given = { ...(tools !== undefined && { tools }), ...(settings && { chat_template_kwargs: settings }) };
  return { messages: messagesAt({ messages }, "messages", "the request"), values: templateValues(given) };
}

/** Log-probabilities as this endpoint writes them. */
function contentOf(logs: readonly TokenLog[], { texts }: ServedModel) {
  const told = (id: number, logprob: number | undefined) => {
    const token = texts.of(id);
    return { token, logprob, bytes: token.startsWith("token_id:") ? null : [...new TextEncoder().encode(token)] };
  };
  const content = logs.map(({ id, log, top }) => ({
    ...told(id, log),
    top_logprobs: top.map((each) => told(each.id, each.log)),
  }));
  return { content, refusal: null };
}

/** Throws ApiError for a request that is wrong, or has no place now. */
export function chatCompletions(body: Json, call: Call, kitchen: Kitchen): Promise<Answered> | Answered {
  const fields = new Fields(body);
  const model = modelOf(fields, kitchen);
  const sampling = samplingOf(fields, kitchen);
  const isTold = fields.flag("logprobs") ?? false;
  const top = fields.number("top_logprobs", { least: 0, most: MOST_LIKELIEST, whole: true });
  if (top !== undefined && !isTold) throw wrongField("top_logprobs", "top_logprobs goes with logprobs: true");
  const logprobs = isTold ? (top ?? 0) : undefined;
  const { maxTokens: most } = kitchen.limits;
  const maxTokens = maxTokensOf(fields, ["max_completion_tokens", "max_tokens"], 1, kitchen) ?? most;
  const { messages, values } = conversationOf(fields);
  fields.ignore("parallel_tool_calls");
  fields.refuse({
    ...{ tool_choice: ["auto", "none"], functions: [[]], function_call: ["none"] },
    ...{ response_format: [{ type: "text" }], modalities: [["text"]] },
  });
  fields.end();
  checkText(messages.map(({ content }) => content).join(""), "messages", model);
  const ids = model.encodeChat(messages, values);
  checkIds(ids, "messages", model);
  model.check(ids, maxTokens);
  kitchen.desk.admit();
  const wanted = { sampling, maxTokens, logprobs, tellsEnd: false };
  const id = `chatcmpl-${crypto.randomUUID()}`;
  const head = (object: string) => ({ id, object, created: Math.floor(Date.now() / 1000), model: model.name });
  const write = (choices: readonly Choice[]) => Promise.all(choices.map((choice) => kitchen.desk.write(model, choice)));
  const logsOf = (logs: readonly TokenLog[]) => (logprobs === undefined ? null : contentOf(logs, model));
  if (!sampling.stream) {
    const choices = choicesOf(model, [ids], wanted, call, kitchen);
    return write(choices).then(() => ({
      value: {
        ...head("chat.completion"),
        choices: choices.map(({ text, logs, finish }, index) => ({
          index,
          message: { role: "assistant", content: text, refusal: null },
          logprobs: logsOf(logs),
          finish_reason: finish,
        })),
        usage: usageOf([ids], choices),
      },
    }));
  }
  const events = async (send: (event: object) => void) => {
    const start = head("chat.completion.chunk");
    const chunk = (index: number, delta: object, logs: object | null, finish: string | null) =>
      send({ ...start, choices: [{ index, delta, logprobs: logs, finish_reason: finish }] });
    const hear = (index: number, { text, logs }: Piece) => chunk(index, { content: text }, logsOf(logs), null);
    const choices = choicesOf(model, [ids], { ...wanted, hear }, call, kitchen);
    for (const index of choices.keys()) chunk(index, { role: "assistant", content: "" }, null, null);
    await write(choices);
    for (const [index, { finish }] of choices.entries()) chunk(index, {}, null, finish ?? "length");
    if (sampling.tellsUsage) send({ ...start, choices: [], usage: usageOf([ids], choices) });
  };
  return { events };
}
