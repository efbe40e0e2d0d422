/** What a method of `align` is. Each family has a contract and a frame of its own. */
import type { LoggedMethod } from "./logged/contract.ts";
import type { PolicyMethod } from "./policies/contract.ts";
import type { PreferenceMethod } from "./preferences/contract.ts";
import type { RewardMethod } from "./reward-models/contract.ts";

export type AlignMethod = PreferenceMethod | PolicyMethod | RewardMethod | LoggedMethod;

declare module "../method/registry.ts" {
  interface Contracts {
    align: AlignMethod;
  }
}
