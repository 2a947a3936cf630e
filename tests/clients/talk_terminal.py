"""A person at the prompt of `chat talk`, on a real terminal. Prints what the terminal shows."""

import sys

import pexpect
import pyte

PROMPT = "\u203a"
ROWS, COLUMNS = 60, 100

program, url, key, user = sys.argv[1:5]
screen = pyte.Screen(COLUMNS, ROWS)
stream = pyte.Stream(screen)


class Terminal:
    """Shows on the screen what the program writes."""

    def write(self, text):
        stream.feed(text)

    def flush(self):
        pass


def shown():
    return "\n".join(line.rstrip() for line in screen.display).strip()


def start(*options):
    """The program at its first prompt."""
    arguments = ["talk", "--url", url, "--key", key, "--user", user, *options]
    child = pexpect.spawn(program, arguments, encoding="utf-8", dimensions=(ROWS, COLUMNS), timeout=30)
    child.logfile_read = Terminal()
    child.expect_exact(PROMPT)
    return child


def enter(child, line, *expected):
    """Enters a line; waits for texts and for the next prompt."""
    child.sendline(line)
    for text in [*expected, PROMPT]:
        child.expect_exact(text)


child = start("--model", "echo@100")
enter(child, "Hello", "You said: Hello", "tokens")
enter(child, "/help", "/regenerate", "written with two")
# Tab completes, the arrow brings earlier lines back.
child.send("/mo\t")
child.expect_exact("/model")
enter(child, "", "echo@100")
child.send("\x1b[A\x1b[A\x1b[A")
child.expect_exact("Hello")
enter(child, " again", "You said: Hello again", "tokens")
# What a model writes does not control the terminal.
enter(child, "\x16\x1b]0;title\x16\x07", "You said: \ufffd]0;title\ufffd", "tokens")
enter(child, "/model echo@30", "answers from now on")
# Ctrl-C stops an answer, and leaves no trace in its text.
child.sendline("word " * 100)
child.expect_exact("You said: word word")
child.sendintr()
for text in ["stopped", PROMPT]:
    child.expect_exact(text)
assert "^C" not in shown(), shown()
enter(child, "/model echo", "answers from now on")
enter(child, "/regenerate", "You said: word word", "tokens")
# Lines that come at once are messages one after the other. Ctrl-Z does nothing.
child.send("first of two\rsecond of two\r\x1a")
for text in ["You said: first of two", "You said: second of two", "tokens", PROMPT]:
    child.expect_exact(text)
enter(child, "/new", "starts another chat")
enter(child, "A second chat", "You said: A second chat", "tokens")
enter(child, "/chats", "A second chat", "Hello")
enter(child, "/chats 2", "Hello", "word word")
enter(child, "/history", "Hello again", "word word")
enter(child, "/chats 3", "no chat has the number 3")
enter(child, "/nothing", "is not a command")
# Ctrl-C at the prompt leaves when it comes twice.
child.sendintr()
child.expect_exact("again leaves")
child.expect_exact(PROMPT)
child.sendintr()
child.expect(pexpect.EOF)
child.close()
assert child.exitstatus == 0, child.exitstatus
print(shown())

# Two windows: a message of one appears in the other. Ctrl-C twice leaves in the middle of an answer.
one = start("--model", "echo@20")
enter(one, "/chats", "A second chat")
enter(one, "/chats 1", "A second chat")
two = start()
enter(two, "/chats", "A second chat")
enter(two, "/chats 1", "A second chat")
enter(one, "From the first window", "You said: From the first window", "tokens")
two.expect_exact("From the first window")
two.expect_exact("(from another window)")
two.expect_exact("You said: From the first window")
# The last answer is the other window's.
enter(two, "/regenerate", "You said: From the first window", "tokens")
enter(one, "/model echo@5", "answers from now on")
one.sendline("word " * 100)
one.expect_exact("You said: word")
while one.isalive():
    one.sendintr()
    one.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=0.1)
one.close()
# The first Ctrl-C may have ended the answer before the second, which then comes at the prompt.
assert one.exitstatus in (0, 130), one.exitstatus
two.sendeof()
two.expect(pexpect.EOF)
two.close()
assert two.exitstatus == 0, two.exitstatus
