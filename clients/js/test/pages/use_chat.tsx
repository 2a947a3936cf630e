// A page with an unmodified `useChat`.
import { useChat } from "@ai-sdk/react";
import type { UIMessage } from "ai";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { ChatApiTransport } from "../../src/ai_sdk.js";
import type { MessagePage } from "../../src/server.js";

const id = location.hash.slice(1);
const transport = new ChatApiTransport({ tickets: (chatId) => `/tickets/${chatId}` });

function Page({ initial }: { initial: UIMessage[] }) {
  const { messages, sendMessage, regenerate, status, stop, error } = useChat({
    id,
    transport,
    messages: initial,
    resume: true,
  });
  const [input, setInput] = useState("");
  return (
    <>
      <ol>
        {messages.map((message) => (
          <li key={message.id} data-role={message.role} data-id={message.id}>
            {message.parts.map((part) => (part.type === "text" ? part.text : "")).join("")}
          </li>
        ))}
      </ol>
      <p id="status">{status}</p>
      <p id="error">{error?.message}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void sendMessage({ text: input });
          setInput("");
        }}
      >
        <input aria-label="Message" value={input} onChange={(event) => setInput(event.target.value)} />
      </form>
      <button onClick={() => void stop()}>Stop</button>
      <button onClick={() => void regenerate()}>Regenerate</button>
    </>
  );
}

const page = (await (await fetch(`/messages/${id}`)).json()) as MessagePage;
const initial: UIMessage[] = page.messages.map(({ message_id, role, content }) => ({
  id: message_id,
  role,
  parts: [{ type: "text", text: content }],
}));
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Page initial={initial} />
  </StrictMode>,
);
