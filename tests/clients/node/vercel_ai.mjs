// Vercel's AI SDK: `vercel_ai.mjs URL KEY TEXT...` prints what each text became, and a reply.
import { createOpenAI } from "@ai-sdk/openai";
import { generateSpeech, generateText, streamText } from "ai";

const [url, key, ...texts] = process.argv.slice(2);
const openai = createOpenAI({ baseURL: url, apiKey: key });
globalThis.AI_SDK_LOG_WARNINGS = false;

async function speak(text) {
  try {
    const model = openai.speech("tts-1");
    const { audio } = await generateSpeech({ model, text, voice: "alloy", maxRetries: 0 });
    return { audio: audio.base64, error: null };
  } catch (error) {
    return { audio: "", error: error.name };
  }
}

const spoken = [];
for (const text of texts) spoken.push(await speak(text));
const chat = { model: openai.chat("echo"), prompt: texts[0], maxRetries: 0 };
const { text: whole } = await generateText(chat);
const streamed = await streamText(chat).text;
console.log(JSON.stringify({ spoken, whole, streamed }));
