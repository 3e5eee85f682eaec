"""Certificates: does a potential behave, and is it smooth enough for dynamics?"""
