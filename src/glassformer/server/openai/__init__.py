"""The interface of OpenAI's API over one model."""
