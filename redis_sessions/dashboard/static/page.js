"use strict";
// Keeps a page current: it receives parts as HTML that the server has escaped, and changes only the nodes that differ.
(() => {
  const body = document.body;
  const root = body.dataset.root;
  const status = document.getElementById("connection");
  const SILENCE_MS = 15000;
  const MAX_MESSAGES = 300;
  let source = null;
  let lastHeard = Date.now();
  let retryMs = 1000;
  let retryTimer = null;

  function say(state, text) {
    if (!status || status.dataset.state === state) return;
    status.dataset.state = state;
    status.textContent = text;
  }

  function keyOf(node) {
    return node.nodeType === 1 ? node.id || node.dataset.key || "" : "";
  }

  function isLike(one, other) {
    return one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
  }

  // Make `old` equal to `fresh`, and keep the nodes that are there: focus, selection, scroll and open details stay.
  function morph(old, fresh) {
    if (old.nodeType === 3) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.nodeType !== 1) return;
    for (const name of old.getAttributeNames()) {
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const name of fresh.getAttributeNames()) {
      const value = fresh.getAttribute(name);
      if (name !== "open" && name !== "value" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    morphChildren(old, fresh);
  }

  function morphChildren(old, fresh) {
    const keyed = new Map();
    for (const child of old.children) {
      if (keyOf(child)) keyed.set(keyOf(child), child);
    }
    let at = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
      const known = keyOf(wanted) && keyed.get(keyOf(wanted));
      if (known && known.nodeName === wanted.nodeName) {
        if (known !== at) old.insertBefore(known, at);
        else at = at.nextSibling;
        keyed.delete(keyOf(wanted));
        morph(known, wanted);
      } else if (at && isLike(at, wanted)) {
        const next = at.nextSibling;
        morph(at, wanted);
        at = next;
      } else {
        old.insertBefore(wanted, at);
      }
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  function parse(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  }

  function showParts(parts) {
    for (const [name, html] of Object.entries(parts)) {
      const part = document.getElementById("part-" + name);
      if (part) morphChildren(part, parse(html));
    }
  }

  function showMessages(html) {
    const list = document.getElementById("transcript");
    if (!list) return;
    const atEnd = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 80;
    for (const one of [...parse(html).children]) {
      const known = one.id && document.getElementById(one.id);
      if (known) morph(known, one);
      else list.append(one);
    }
    while (list.children.length > MAX_MESSAGES) list.firstElementChild.remove();
    if (atEnd) window.scrollTo(0, document.documentElement.scrollHeight);
  }

  function heard() {
    lastHeard = Date.now();
    retryMs = 1000;
    say("live", "● live");
  }

  function connect() {
    if (source || !body.dataset.live || document.visibilityState === "hidden") return;
    lastHeard = Date.now();
    source = new EventSource(root + body.dataset.live);
    source.addEventListener("parts", (event) => { heard(); showParts(JSON.parse(event.data)); });
    source.addEventListener("messages", (event) => { heard(); showMessages(JSON.parse(event.data)); });
    source.addEventListener("beat", heard);
    source.addEventListener("end", () => { disconnect(); say("ended", "this session has ended or is gone"); body.removeAttribute("data-live"); });
    source.onerror = lose;
  }

  function disconnect() {
    if (source) source.close();
    source = null;
  }

  async function lose() {
    const wasRefused = source && source.readyState === EventSource.CLOSED;
    disconnect();
    say("lost", "connection lost, trying again");
    if (wasRefused && await needsLogin()) {
      say("ended", "the login has ended: reload the page");
      return;
    }
    clearTimeout(retryTimer);
    retryTimer = setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, 10000);
  }

  // A browser says of a refused stream only that it failed, so the page itself is asked for.
  async function needsLogin() {
    try {
      const answer = await fetch(location.href, { method: "HEAD", redirect: "manual", headers: { Accept: "text/html" } });
      return answer.type === "opaqueredirect" || answer.status === 401;
    } catch {
      return false;
    }
  }

  setInterval(() => { if (source && Date.now() - lastHeard > SILENCE_MS) lose(); }, 1000);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") disconnect();
    else connect();
  });
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", connect);
  connect();

  const dialog = document.getElementById("keys");
  const search = document.getElementById("search");
  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.nodeName);
    if (event.key === "Escape" && event.target === search) search.blur();
    if (isTyping || (dialog && dialog.open)) return;
    if (isGoing) {
      isGoing = false;
      const link = document.querySelector('nav a[data-key="' + CSS.escape(event.key) + '"]');
      if (link) { event.preventDefault(); link.click(); }
    } else if (event.key === "g") {
      isGoing = true;
      setTimeout(() => { isGoing = false; }, 1500);
    } else if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "?" && dialog) {
      event.preventDefault();
      dialog.showModal();
    }
  });
})();
