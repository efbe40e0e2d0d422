/**
 * CLIP, of which the vision tower runs as a classifier; its text tower is carried through as it came.
 * https://arxiv.org/abs/2103.00020
 */
import type { Architecture, Json } from "../architecture.ts";
import { type ClipConfig, clipConfig, clipVision } from "../blocks/clip.ts";
import { ConfigReader } from "../config.ts";
import { INITIAL_SCALE, zeroShotHead } from "../zero-shot-head.ts";

/** What says nothing of the vision tower. */
const OTHERS = ["text_config", "text_config_dict", "initializer_factor"];

export const method: Architecture<ClipConfig> = {
  name: "clip",
  title: "CLIP",
  about: "the vision tower of a whole CLIP as a classifier; the text tower is carried through",
  cite: "arXiv:2103.00020",
  options: {},
  className: "CLIPModel",
  partOf: { whole: "clip", part: "vision tower" },
  beside: zeroShotHead,
  ...clipVision,

  config(json, where) {
    const whole = new ConfigReader(json, where);
    for (const key of OTHERS) whole.has(key);
    const given: Json = { ...whole.object("vision_config"), ...whole.object("vision_config_dict") };
    return clipConfig(new ConfigReader(given, `${where}: vision_config`), {
      shared: whole.count("projection_dim", 512),
      initialScale: Math.exp(whole.number("logit_scale_init_value", INITIAL_SCALE)),
      labels: whole,
    });
  },
};
