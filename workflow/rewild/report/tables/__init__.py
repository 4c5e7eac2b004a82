"""The paper's tables: what they hold (``spec``), their files (``schema``), how they look (``render``)."""
