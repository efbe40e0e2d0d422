/**
 * DeepSeek-V2: latent attention, and k of E experts by softmax, from the best groups where a config has some.
 * https://arxiv.org/abs/2405.04434
 */
import { CANNOT_RUN, UserError } from "../../errors.ts";
import type { Architecture } from "../architecture.ts";
import { type DeepseekConfig, deepseekConfig, deepseekDecoder } from "../blocks/deepseek.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DeepseekConfig> = {
  name: "deepseek_v2",
  title: "DeepSeek-V2",
  about: "latent attention, and k of E experts by softmax: DeepSeek-V2, V2-Lite",
  cite: "arXiv:2405.04434",
  options: {},
  className: "DeepseekV2ForCausalLM",
  ...deepseekDecoder((c) => ({ topk_method: c.routing?.groups ? "group_limited_greedy" : "greedy" })),

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("scoring_func", "softmax");
    const method = c.text("topk_method") ?? "greedy";
    if (method !== "greedy" && method !== "group_limited_greedy")
      throw new UserError(
        `${where}: topk_method is ${JSON.stringify(method)}; greedy and group_limited_greedy are known`,
        CANNOT_RUN,
      );
    // The published code and transformers read it in different ways, and no published model asks for it.
    c.only("norm_topk_prob", false);
    return deepseekConfig(c, json, where, {
      ...{ experts: 64, perToken: 6, expertInner: 1407, shared: 2, dense: 0, normalize: false, scale: 1 },
      groups: method === "greedy" ? undefined : { count: 8, kept: 3, worth: "best" },
      ...{ scoring: "softmax", choiceBias: false },
    });
  },
};
